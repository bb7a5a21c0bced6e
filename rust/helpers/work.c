/* SPDX-License-Identifier: GPL-2.0 */
/* Work items. */

void net_helper_INIT_WORK(struct work_struct *work, work_func_t function)
{
	INIT_WORK(work, function);
}

void net_helper_schedule_work(struct work_struct *work)
{
	schedule_work(work);
}
