/* SPDX-License-Identifier: GPL-2.0 */
/* Registers in a BAR, which bindgen does not know the type of (__iomem), and barriers. */

u8 net_helper_readb(const void *addr)
{
	return readb((const void __iomem *)addr);
}

u16 net_helper_readw(const void *addr)
{
	return readw((const void __iomem *)addr);
}

u32 net_helper_readl(const void *addr)
{
	return readl((const void __iomem *)addr);
}

void net_helper_writeb(u8 value, void *addr)
{
	writeb(value, (void __iomem *)addr);
}

void net_helper_writew(u16 value, void *addr)
{
	writew(value, (void __iomem *)addr);
}

void net_helper_writel(u32 value, void *addr)
{
	writel(value, (void __iomem *)addr);
}

void net_helper_smp_mb(void)
{
	smp_mb();
}

void net_helper_dma_rmb(void)
{
	dma_rmb();
}

void net_helper_dma_wmb(void)
{
	dma_wmb();
}
