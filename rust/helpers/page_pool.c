/* SPDX-License-Identifier: GPL-2.0 */
/* Page pools. */

/* Kbuild looks for these in the kernel's headers. */
#ifndef HAVE_PP_PAGE_TO_NMDESC
#define pp_page_to_nmdesc(page) (page)
#endif

struct page *net_helper_page_pool_alloc_frag(struct page_pool *pool, unsigned int *offset,
					     unsigned int size, gfp_t gfp)
{
	return page_pool_alloc_frag(pool, offset, size, gfp);
}

dma_addr_t net_helper_page_pool_get_dma_addr(const struct page *page)
{
	return page_pool_get_dma_addr(page);
}

/*
 * Before there was a function for it, the field was set when the pool was made. The pool is not used yet; only netlink's dump of pools may
 * read the field, once.
 */
void net_helper_page_pool_enable_direct_recycling(struct page_pool *pool, struct napi_struct *napi)
{
#ifdef HAVE_DIRECT_RECYCLING
	page_pool_enable_direct_recycling(pool, napi);
#else
	WRITE_ONCE(pool->p.napi, napi);
#endif
}

void net_helper_page_pool_put_full_page(struct page *page)
{
	page_pool_put_full_page(pp_page_to_nmdesc(page)->pp, page, false);
}

struct page_pool *net_helper_page_pool_of_page(const struct page *page)
{
	return pp_page_to_nmdesc(page)->pp;
}

void *net_helper_page_address(const struct page *page)
{
	return page_address(page);
}
