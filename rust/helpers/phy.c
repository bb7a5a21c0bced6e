/* SPDX-License-Identifier: GPL-2.0 */
/* phylib. */

void *net_helper_mdiobus_priv(const struct mii_bus *bus)
{
	return bus->priv;
}

int net_helper_mdiobus_register(struct mii_bus *bus)
{
	return mdiobus_register(bus);
}

void net_helper_phy_lock_mdio_bus(struct phy_device *phydev)
{
	phy_lock_mdio_bus(phydev);
}

void net_helper_phy_unlock_mdio_bus(struct phy_device *phydev)
{
	phy_unlock_mdio_bus(phydev);
}

int net_helper___phy_read(struct phy_device *phydev, u32 regnum)
{
	return __phy_read(phydev, regnum);
}

int net_helper___phy_write(struct phy_device *phydev, u32 regnum, u16 val)
{
	return __phy_write(phydev, regnum, val);
}

bool net_helper_phy_supports(const struct phy_device *phydev, u32 mode)
{
	return linkmode_test_bit(mode, phydev->supported);
}

bool net_helper_phy_advertises(const struct phy_device *phydev, u32 mode)
{
	return linkmode_test_bit(mode, phydev->advertising);
}

void net_helper_phy_set_advertised(struct phy_device *phydev, u32 mode, bool on)
{
	linkmode_mod_bit(mode, phydev->advertising, on);
}

int net_helper_phy_speed(const struct phy_device *phydev)
{
	return READ_ONCE(phydev->speed);
}

bool net_helper_phy_autoneg(const struct phy_device *phydev)
{
	return phydev->autoneg == AUTONEG_ENABLE;
}

void net_helper_phy_print_status(struct net_device *dev)
{
	phy_print_status(dev->phydev);
}

void net_helper_phy_cancel_state_machine(struct phy_device *phydev)
{
	cancel_delayed_work_sync(&phydev->state_queue);
}

void net_helper_phy_set_mac_managed_pm(struct phy_device *phydev)
{
	phydev->mac_managed_pm = true;
}

/* The PHY at address 0 is the only one, and the MAC speaks for it when the link changes. */
void net_helper_mdiobus_setup(struct mii_bus *bus, void *priv, struct device *parent,
			      int (*read)(struct mii_bus *bus, int addr, int regnum),
			      int (*write)(struct mii_bus *bus, int addr, int regnum, u16 val))
{
	bus->name = KBUILD_MODNAME;
	snprintf(bus->id, MII_BUS_ID_SIZE, "%s-%s", KBUILD_MODNAME, dev_name(parent));
	bus->priv = priv;
	bus->parent = parent;
	bus->phy_mask = ~1;
	bus->irq[0] = PHY_MAC_INTERRUPT;
	bus->read = read;
	bus->write = write;
}
