/* SPDX-License-Identifier: GPL-2.0 */
/* Streaming DMA. */

/* All ones if it could not be mapped. */
dma_addr_t net_helper_dma_map_single(struct device *dev, void *data, size_t len)
{
	dma_addr_t addr = dma_map_single(dev, data, len, DMA_TO_DEVICE);

	return dma_mapping_error(dev, addr) ? ~(dma_addr_t)0 : addr;
}

void net_helper_dma_unmap_single(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_unmap_single(dev, addr, len, DMA_TO_DEVICE);
}

void net_helper_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_unmap_page(dev, addr, len, DMA_TO_DEVICE);
}

void net_helper_dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_sync_single_for_cpu(dev, addr, len, DMA_FROM_DEVICE);
}

void net_helper_dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_sync_single_for_device(dev, addr, len, DMA_FROM_DEVICE);
}

bool net_helper_is_swiotlb_force_bounce(struct device *dev)
{
	return is_swiotlb_force_bounce(dev);
}

int net_helper_dma_set_mask_and_coherent(struct device *dev, unsigned int bits)
{
	return dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits));
}

/* All ones if it could not be mapped. */
dma_addr_t net_helper_skb_frag_dma_map(struct device *dev, const struct sk_buff *skb,
				       unsigned int frag)
{
	const skb_frag_t *f = &skb_shinfo(skb)->frags[frag];
	dma_addr_t addr = skb_frag_dma_map(dev, f, 0, skb_frag_size(f), DMA_TO_DEVICE);

	return dma_mapping_error(dev, addr) ? ~(dma_addr_t)0 : addr;
}
