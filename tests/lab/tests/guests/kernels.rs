// SPDX-License-Identifier: GPL-2.0

//! One kernel comes after another without the card having been switched off: kexec, the kernel for
//! crashes, and hibernation.

use lab::bench::{Bench, Loaded};
use lab::case::Case;
use lab::drive;
use lab::initramfs::MODULES;
use lab::kernel::Kernel;
use lab::model::{Chip, Model};
use lab::passt;
use lab::process::wait_for;
use lab::setup::Setup;
use lab::traffic::{end_tcp, start_tcp, wait_tcp, ECHO};
use lab::{guest_test, require, Error, Result};

/// An address that is not the card's own.
const OTHER: &str = "02:de:ad:be:ef:01";

/// The part of the crashed kernel's memory that is sent, in bytes.
const CORE: usize = 8 << 20;

/// Fails with the reason if the kernel was built without what a test needs.
fn needs(kernel: &Kernel, option: &str) -> Result<()> {
    if kernel.has_built_in(option)? {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "kernel {} was built without {option}",
        kernel.version()
    )))
}

/// Fetches the guest's own kernel and initramfs into the guest, over the card.
fn fetch_kernel(bench: &mut Bench) -> Result<()> {
    for name in ["kernel", "initramfs"] {
        let url = bench.url(name)?;
        bench
            .guest
            .check(&format!("curl -sS -f -o /tmp/{name} {url}"))?;
    }
    Ok(())
}

/// Opens the interface, and sets what the next kernel is not to find: another address, and what
/// wakes the card.
fn begin(bench: &mut Bench) -> Result<String> {
    let interface = bench.load_and_open()?;
    drive::lease(bench, &interface)?;
    fetch_kernel(bench)?;
    bench.guest.check(&format!(
        "ip link set {interface} address {OTHER}; ethtool -s {interface} wol g; ip link set {interface} promisc on"
    ))?;
    start_tcp(bench)?;
    wait_tcp(bench, "before the other kernel")?;
    Ok(interface)
}

/// The bits of ChipCmd that turn receiver and transmitter on.
const AT_WORK: u32 = 0x0c;

/// Loads the driver in a kernel that has come while the card was at work, and opens the interface.
/// A driver that has no interface open yet is to have stopped it.
fn take_over(bench: &mut Bench) -> Result<String> {
    let loaded = bench.load()?;
    let (command, mask) = (
        bench.model()?.register("ChipCmd")?,
        bench.model()?.register("IntrMask")?,
    );
    require!(
        command & AT_WORK == 0 && mask == 0,
        "when the driver is loaded ChipCmd is {command:#x} and IntrMask {mask:#x}: the card still does what the other kernel had it do"
    );
    let Loaded::Interface(interface) = loaded else {
        return Err(Error::Unmet("the driver has no interface".to_owned()));
    };
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    Ok(interface)
}

/// The card works in the kernel that has come, with its own address.
fn end(bench: &mut Bench) -> Result<()> {
    let interface = take_over(bench)?;
    let address = bench.guest.check(&format!(
        "cat /sys/class/net/{interface}/address; ethtool -P {interface}"
    ))?;
    require!(
        address == format!("{0}\nPermanent address: {0}", Model::MAC),
        "in the kernel that came the addresses are {address:?}, expected {}, the card's own",
        Model::MAC
    );
    drive::lease(bench, &interface)?;
    drive::ping(bench, 3)?;
    drive::fetch(bench)?;
    drive::send(bench).map(|_| ())
}

/// A kernel starts another one under traffic, as one that boots over the network does, or
/// `systemctl kexec`. Nothing resets the card meanwhile: a chip that went on would write to memory
/// of the kernel that comes.
#[guest_test(ours(b300, b380), r8169 = b380, memory = 256, debug)]
fn works_after_kexec(case: &Case) -> Result<()> {
    needs(&case.kernel, "CONFIG_KEXEC_FILE")?;
    let mut bench = Bench::start(&Setup {
        megabytes: 8,
        pcap: false,
        // It starts kernels.
        ..case.with_echo()
    })?;
    begin(&mut bench)?;
    let problems = bench.kernel_problems()?;
    require!(problems.is_empty(), "before kexec: {problems:?}");
    let resets = bench.model()?.resets()?;
    bench.boot_by("guest-echo kexec /tmp/kernel /tmp/initramfs \"$(cat /proc/cmdline)\"")?;
    let again = bench.model()?.resets()?;
    require!(
        again == resets,
        "the machine reset the card {} times: that was no kexec",
        again - resets
    );
    // A card that goes on would disturb the others on its interrupt line.
    let mask = bench.model()?.register("IntrMask")?;
    require!(
        mask == 0,
        "in the kernel that came IntrMask is {mask:#x}, expected 0: the card was not shut down"
    );
    end(&mut bench)?;
    bench.finish()
}

#[guest_test(ours(b300, b380), r8169 = b380, memory = 512)]
fn works_after_a_crash(case: &Case) -> Result<()> {
    kdump(case, false)
}

#[guest_test(ours(b300, b380), r8169 = b380, memory = 512)]
fn works_after_a_crash_behind_an_iommu(case: &Case) -> Result<()> {
    kdump(case, true)
}

/// The kernel crashes under traffic, and the one that was there for that sends what was in memory.
/// The card goes on until it has a driver again: with an IOMMU, into what the first kernel had
/// mapped for it, or into nothing.
fn kdump(case: &Case, iommu: bool) -> Result<()> {
    needs(&case.kernel, "CONFIG_PROC_VMCORE")?;
    let ours = case.is_ours();
    let mut bench = Bench::start(&Setup {
        iommu,
        megabytes: 8,
        append: "crashkernel=320M",
        pcap: false,
        // It starts kernels.
        ..case.with_echo()
    })?;
    begin(&mut bench)?;
    bench.guest.check(
        "guest-echo kdump /tmp/kernel /tmp/initramfs \"$(sed s/crashkernel=320M// /proc/cmdline) maxcpus=1 reset_devices\"",
    )?;
    bench.boot_by("echo c >/proc/sysrq-trigger")?;
    let crashed = bench.guest.run("test -s /proc/vmcore")?;
    require!(
        crashed.status == 0,
        "the kernel that came has no /proc/vmcore"
    );
    let interface = take_over(&mut bench)?;
    // What came before, the kernel could not prevent.
    bench.model()?.reset_counters()?;
    if ours {
        let permanent = bench.guest.check(&format!("ethtool -P {interface}"))?;
        require!(
            permanent.ends_with(Model::MAC),
            "after a crash ethtool -P says {permanent}, expected {}",
            Model::MAC
        );
    }
    drive::lease(&mut bench, &interface)?;
    let url = bench.url("vmcore")?;
    bench.guest.check(&format!(
        "head -c {CORE} /proc/vmcore >/tmp/core; curl -sS -f -H Expect: -T /tmp/core -o /dev/null {url}"
    ))?;
    let sum = bench.guest.check("sha256sum </tmp/core | cut -c-64")?;
    let received = wait_for("the server to have the memory", ECHO, || {
        Ok(bench.http.received("vmcore"))
    })?;
    require!(
        received.length == CORE && received.sha256 == sum,
        "the server got {received:?}, expected {CORE} bytes of the hash {sum}"
    );
    bench.finish()
}

/// The card's use in the kernel that boots to resume a system from the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// No driver of the card.
    Nothing,
    /// The driver, and the interface up.
    Traffic,
}

/// The system goes to a disk under traffic, the machine is reset, and the kernel that boots then
/// brings it back. All that the kernel has in memory must be there twice meanwhile.
#[guest_test(ours(b300, b380), r8169 = b380, memory = 256, debug)]
fn hibernates(case: &Case) -> Result<()> {
    needs(&case.kernel, "CONFIG_HIBERNATION")?;
    let boots: &[Meanwhile] = match case.chip {
        Chip::B300 => &[Meanwhile::Traffic, Meanwhile::Nothing],
        Chip::B380 => &[Meanwhile::Traffic],
    };
    let mut bench = Bench::start(&Setup {
        disk_mib: 1024,
        resets: true,
        megabytes: 4,
        more_modules: &["virtio_blk"],
        // What it takes for long without KVM.
        append: "hibernate=nocompress",
        ..case.setup()
    })?;
    bench.insert("virtio_blk")?;
    bench.guest.check(
        "mkswap /dev/vda && swapon /dev/vda && echo 0 >/sys/power/image_size && echo reboot >/sys/power/disk",
    )?;
    let interface = bench.load_and_open()?;
    bench
        .guest
        .check(&format!("ip link set {interface} address {OTHER}"))?;
    drive::lease(&mut bench, &interface)?;
    start_tcp(&mut bench)?;
    let traffic = format!(
        "{}ip link set {interface} up; ip addr add {}/24 dev {interface}; sleep 1
        ping -c 3 -i 0.2 {} >/dev/null",
        bench.load_script(),
        passt::GUEST,
        passt::GATEWAY
    );
    for &meanwhile in boots {
        wait_tcp(&mut bench, "before hibernation")?;
        let before = if meanwhile == Meanwhile::Traffic {
            traffic.as_str()
        } else {
            ""
        };
        bench.guest.check_across_boot(
            "echo disk >/sys/power/state",
            &format!(
                "insmod {MODULES}/virtio_blk.ko\n{before}\ncat /sys/block/vda/dev >/sys/power/resume"
            ),
        )?;
        bench.wait_carrier(&interface, true)?;
        wait_tcp(&mut bench, "after hibernation")?;
    }
    end_tcp(&mut bench)?;
    let address = bench
        .guest
        .check(&format!("cat /sys/class/net/{interface}/address"))?;
    require!(
        address == OTHER,
        "after hibernation the address is {address}, expected {OTHER}"
    );
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.finish()
}
