/* SPDX-License-Identifier: GPL-2.0 */
/* Page pools. */

/* Kbuild looks for these in the kernel's headers. */
#ifndef HAVE_PP_PAGE_TO_NMDESC
#define pp_page_to_nmdesc(page) (page)
#endif

/* Returns where a fragment is that it takes out; for the device at addr. */
void *net_helper_page_pool_alloc_frag(struct page_pool *pool, dma_addr_t *addr, unsigned int size,
				      gfp_t gfp)
{
	unsigned int offset;
	struct page *page = page_pool_alloc_frag(pool, &offset, size, gfp);

	if (unlikely(!page))
		return NULL;
	*addr = page_pool_get_dma_addr(page) + offset;
	return page_address(page) + offset;
}

/* A frame, still empty, that returns the fragment to its pool when it is freed. */
struct sk_buff *net_helper_page_pool_build_skb(void *frag, unsigned int size)
{
	struct sk_buff *skb = napi_build_skb(frag, size);

	if (likely(skb))
		skb_mark_for_recycle(skb);
	return skb;
}

/*
 * Before there was a function for it, the field was set when the pool was made. The pool is not
 * used yet; only netlink's dump of pools may read the field, once.
 */
void net_helper_page_pool_enable_direct_recycling(struct page_pool *pool, struct napi_struct *napi)
{
#ifdef HAVE_DIRECT_RECYCLING
	page_pool_enable_direct_recycling(pool, napi);
#else
	WRITE_ONCE(pool->p.napi, napi);
#endif
}

struct page_pool *net_helper_page_pool_of_frag(const void *frag)
{
	return pp_page_to_nmdesc(virt_to_head_page(frag))->pp;
}

void net_helper_page_pool_put_frag(void *frag)
{
	page_pool_put_full_page(net_helper_page_pool_of_frag(frag), virt_to_head_page(frag), false);
}
