/* SPDX-License-Identifier: GPL-2.0 */
/* Power management. */

bool net_helper_device_can_wakeup(struct device *dev)
{
	return device_can_wakeup(dev);
}

bool net_helper_device_may_wakeup(struct device *dev)
{
	return device_may_wakeup(dev);
}

bool net_helper_is_powering_off(void)
{
	return system_state == SYSTEM_POWER_OFF;
}

void net_helper_pm_runtime_get_sync(struct device *dev)
{
	pm_runtime_get_sync(dev);
}

void net_helper_pm_runtime_put(struct device *dev)
{
	pm_runtime_put(dev);
}

void net_helper_pm_runtime_mark_last_busy(struct device *dev)
{
	pm_runtime_mark_last_busy(dev);
}

void net_helper_pm_request_idle(struct device *dev)
{
	pm_request_idle(dev);
}

void net_helper_pm_request_resume(struct device *dev)
{
	pm_request_resume(dev);
}

void net_helper_pm_runtime_set_autosuspend_delay(struct device *dev, int delay_ms)
{
	pm_runtime_set_autosuspend_delay(dev, delay_ms);
}

void net_helper_pm_runtime_use_autosuspend(struct device *dev)
{
	pm_runtime_use_autosuspend(dev);
}

void net_helper_pm_runtime_dont_use_autosuspend(struct device *dev)
{
	pm_runtime_dont_use_autosuspend(dev);
}

void net_helper_pm_runtime_put_noidle(struct device *dev)
{
	pm_runtime_put_noidle(dev);
}
