/* SPDX-License-Identifier: GPL-2.0 */
/* PCI. */

unsigned int net_helper_pci_irq(const struct pci_dev *pdev)
{
	return pdev->irq;
}

void net_helper_pci_set_drvdata(struct pci_dev *pdev, void *data)
{
	pci_set_drvdata(pdev, data);
}

void *net_helper_dev_get_drvdata(const struct device *dev)
{
	return dev_get_drvdata(dev);
}

/*
 * A suspend that has begun takes what pci_restore_state() leaves for its own, and neither saves nor
 * suspends the device (Linux 6.19 and later).
 */
void net_helper_pci_clear_state_saved(struct pci_dev *pdev)
{
	pdev->state_saved = false;
}

/* 0 for a number that no BAR of memory has. */
u64 net_helper_pci_memory_bar_len(struct pci_dev *pdev, int bar)
{
	return bar >= 0 && bar < PCI_STD_NUM_BARS &&
	       (pci_resource_flags(pdev, bar) & IORESOURCE_MEM) ? pci_resource_len(pdev, bar) : 0;
}
