// SPDX-License-Identifier: GPL-2.0

//! Every driver on every chip that it drives, and its refusal of every other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::bench::{Bench, Loaded};
use lab::case::{Case, Inputs};
use lab::drive;
use lab::kernel::{dependencies, modinfo, module_name, read_module, Kernel};
use lab::process::output_of;
use lab::setup::{Driver, Setup, MODPROBE};
use lab::{guest_test, require, Result};

/// Lease, ping and a verified transfer each way; then the interface's statistics against what the
/// device model saw.
fn drive_through(bench: &mut Bench, interface: &str) -> Result<()> {
    drive::lease(bench, interface)?;
    drive::ping(bench, 20)?;
    let fetched = drive::fetch(bench)?;
    let sent = drive::send(bench)?;
    println!(
        "fetched at {:.0} Mbit/s, sent at {:.0} Mbit/s",
        fetched.mbit_per_s(),
        sent.mbit_per_s()
    );
    statistics_agree(bench, interface)
}

fn statistics_agree(bench: &mut Bench, interface: &str) -> Result<()> {
    // Nothing may be under way while the two are compared.
    bench
        .guest
        .check(&format!("sleep 1; ip link set {interface} down"))?;
    let counters = bench.model()?.counters()?;
    let expected = [
        ("rx_packets", counters.rx_frames),
        ("rx_bytes", counters.rx_bytes),
        ("tx_packets", counters.tx_frames),
        ("rx_errors", 0),
        ("tx_errors", 0),
        ("rx_dropped", 0),
        ("tx_dropped", 0),
    ];
    for (name, expected) in expected {
        let found = drive::statistic(bench, interface, name)?;
        require!(
            found == expected,
            "{name} of {interface} is {found}, the device model counted {expected}"
        );
    }
    // The driver counts a short frame as the stack gave it, the wire as it was padded.
    let tx_bytes = drive::statistic(bench, interface, "tx_bytes")?;
    require!(
        tx_bytes <= counters.tx_bytes && counters.tx_bytes - tx_bytes < tx_bytes / 1000,
        "tx_bytes of {interface} is {tx_bytes}, the device model counted {}, expected a little more",
        counters.tx_bytes
    );
    let body = u64::try_from(bench.http.body().length).unwrap_or(u64::MAX);
    require!(
        counters.rx_bytes > body && counters.tx_bytes > body,
        "{} bytes received and {} sent, expected more than {body} each",
        counters.rx_bytes,
        counters.tx_bytes
    );
    Ok(())
}

fn phy_driver(bench: &mut Bench, interface: &str) -> Result<String> {
    let script = format!("basename \"$(readlink /sys/class/net/{interface}/phydev/driver)\"");
    bench.guest.check(&script)
}

/// Requires that `ethtool -i` names the driver, its version and the card.
fn identifies_itself(bench: &mut Bench, setup: &Setup<'_>, interface: &str) -> Result<()> {
    let about = bench.guest.check(&format!("ethtool -i {interface}"))?;
    let version = match &setup.driver {
        Driver::R8168Rust(path) | Driver::R8168(path) => {
            modinfo(path, &read_module(path)?, "version")?.join(" ")
        }
        Driver::R8169 | Driver::E1000e | Driver::Edu(_) => setup.kernel.version().to_owned(),
    };
    for (field, expected) in [
        ("driver", setup.driver.name()),
        ("version", &version),
        ("bus-info", &bench.device().address),
    ] {
        require!(
            about
                .lines()
                .any(|line| line == format!("{field}: {expected}")),
            "expected {field} {expected}, ethtool -i shows: {about}"
        );
    }
    Ok(())
}

fn accepts(setup: &Setup<'_>) -> Result<()> {
    let mut bench = Bench::start(setup)?;
    let xid = bench.device().xid;
    require!(
        xid == Some(setup.chip.xid()),
        "the guest reads XID {xid:03x?}, expected {:03x}",
        setup.chip.xid()
    );
    let interface = bench.load_and_open()?;
    let link = bench.guest.check(&format!("ethtool {interface}"))?;
    require!(
        link.contains("Speed: 1000Mb/s") && link.contains("Duplex: Full"),
        "ethtool shows no gigabit link: {link}"
    );
    let phy = phy_driver(&mut bench, &interface)?;
    require!(
        phy.starts_with("Generic") != setup.phy_driver,
        "the PHY driver is {phy}, and realtek.ko was {}",
        if setup.phy_driver { "loaded" } else { "absent" }
    );
    drive_through(&mut bench, &interface)?;
    identifies_itself(&mut bench, setup, &interface)?;
    bench.finish()
}

#[guest_test(name = "{driver}_drives_{chip}", ours(b300, b380), r8169(b380), debug)]
#[guest_test(name = "ours_drives_b300_on_an_older_kernel", ours = b300, kernel = older)]
#[guest_test(name = "ours_drives_b300_on_the_oldest_kernel", ours = b300, kernel = oldest)]
#[guest_test(name = "r8169_of_6_1_drives_b300", r8169 = b300, kernel = debian12)]
fn drives(case: &Case) -> Result<()> {
    accepts(&case.setup())
}

#[guest_test(ours = b300, debug)]
fn needs_no_phy_driver(case: &Case) -> Result<()> {
    accepts(&Setup {
        phy_driver: false,
        ..case.setup()
    })
}

/// Requires that the device is bound to this driver, and works.
fn is_driven_by(bench: &mut Bench, expected: &str) -> Result<()> {
    let address = bench.device().address.clone();
    let bound = bench.guest.check(&format!(
        "basename \"$(readlink /sys/bus/pci/devices/{address}/driver)\""
    ))?;
    require!(
        bound == expected,
        "{expected} should drive the device, found {bound}"
    );
    let Loaded::Interface(name) = bench.bound_interface()? else {
        return Err(lab::Error::Unmet(format!("{bound} has no interface")));
    };
    bench.guest.check(&format!("ip link set {name} up"))?;
    bench.wait_carrier(&name, true)
}

#[guest_test(name = "who_is_first_gets_b380", ours = b380)]
fn who_is_first(case: &Case) -> Result<()> {
    let setup = Setup {
        more_modules: &["r8169"],
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    bench.load()?;
    bench.insert("r8169")?;
    is_driven_by(&mut bench, "r8168_rust")?;
    bench.guest.check("rmmod r8168_rust r8169")?;
    bench.insert("r8169")?;
    bench.insert("r8168_rust")?;
    is_driven_by(&mut bench, "r8169")?;
    bench.finish()
}

/// The alias that the bus asks modprobe for when it finds the card.
const CARD: &str = "pci:v000010ECd00008168sv00000000sd00000000bc02sc00i00";

/// Returns the modules that modprobe loads for a module or alias, with `settings` as its only
/// configuration, by the modules' names.
fn loaded_for(what: &str, root: &Path, version: &str, settings: &Path) -> Result<Vec<String>> {
    let mut modprobe = Command::new("modprobe");
    modprobe.arg("-d").arg(root).args(["-S", version, "-C"]);
    modprobe.arg(settings).args(["--show-depends", what]);
    let output = output_of(&mut modprobe)?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(|line| module_name(Path::new(line.strip_prefix("insmod ")?.trim())))
        .collect())
}

#[guest_test]
fn modprobe_d_has_ours_loaded_before_r8169(inputs: &Inputs) -> Result<()> {
    let (kernel, Driver::R8168Rust(module)) = (inputs.kernel()?, inputs.ours()?) else {
        return Err(lab::Error::Input("there is no module of ours".to_owned()));
    };
    let root = tempfile::tempdir().map_err(lab::Error::file(Path::new("/tmp"), "making"))?;
    let home = root.path().join("lib/modules").join(kernel.version());
    let script = format!(
            "mkdir -p {home}/updates && ln -s {stock}/kernel {home}/kernel && cp {stock}/modules.order {home} &&
            cp {stock}/modules.builtin* {home} && cp {ours} {home}/updates && depmod -b {root} {version}",
            home = home.display(),
            stock = kernel.directory().display(),
            ours = module.display(),
            root = root.path().display(),
            version = kernel.version()
        );
    output_of(Command::new("sh").args(["-c", &script]))?;
    let settings = tree("packaging/modprobe.d");
    let loaded = loaded_for(CARD, root.path(), kernel.version(), &settings)?;
    let place = |name: &str| loaded.iter().position(|module| module == name);
    let (ours, theirs) = (place("r8168_rust"), place("r8169"));
    require!(
        ours.is_some() && ours < theirs && place("realtek") < theirs,
        "modprobe loads {loaded:?}, expected r8168_rust and realtek before r8169"
    );
    // Also without the settings the module asks for the driver of its PHY, as does what makes an
    // initramfs.
    let loaded = loaded_for("r8168_rust", root.path(), kernel.version(), root.path())?;
    let place = |name: &str| loaded.iter().position(|module| module == name);
    require!(
        place("realtek").is_some() && place("realtek") < place("r8168_rust"),
        "of r8168_rust alone modprobe loads {loaded:?}, expected realtek before it"
    );
    Ok(())
}

/// Modules where modprobe looks for them, indexed: the kernel's r8169 with what it needs and, if it
/// is given, our driver with the rule that our packages bring.
fn modprobe_files(kernel: &Kernel, ours: Option<&Driver>) -> Result<tempfile::TempDir> {
    let root = tempfile::tempdir().map_err(lab::Error::file(Path::new("/tmp"), "making"))?;
    let home = root.path().join("lib/modules").join(kernel.version());
    let write = |path: &str, content: &[u8]| {
        let path = root.path().join(path);
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, content))
            .map_err(lab::Error::file(&path, "writing"))
    };
    let mut names = vec!["realtek".to_owned(), "r8169".to_owned()];
    if let Some(file) = ours.and_then(Driver::file) {
        let object = read_module(file)?;
        names.extend(dependencies(file, &object)?);
        let updates = format!("lib/modules/{}/updates", kernel.version());
        write(&format!("{updates}/r8168_rust.ko"), &object)?;
        let rule = "packaging/modprobe.d/10-r8168_rust.conf";
        let content = fs::read(tree(rule)).map_err(lab::Error::file(Path::new(rule), "reading"))?;
        write("etc/modprobe.d/10-r8168_rust.conf", &content)?;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for module in kernel.modules(&names)? {
        let path = format!("lib/modules/{}/kernel/{}.ko", kernel.version(), module.name);
        write(&path, &module.object)?;
    }
    let script = format!(
        "cp {stock}/modules.order {stock}/modules.builtin* {home} && depmod -b {root} {version}",
        stock = kernel.directory().display(),
        home = home.display(),
        root = root.path().display(),
        version = kernel.version()
    );
    output_of(Command::new("sh").args(["-c", &script]))?;
    Ok(root)
}

/// A path in this tree.
fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Returns whether r8169 of this kernel oopses when it meets XID 0x300
/// (docs/upstream/r8169-extended-none.md).
fn r8169_oopses(kernel: &Kernel) -> bool {
    !kernel.is_before(7, 0) && kernel.is_before(7, 3)
}

/// Has r8169 loaded as udev does when it finds the card.
fn r8169_meets_b300(bench: &mut Bench) -> Result<()> {
    // What comes after an oops is looked at, too.
    bench
        .guest
        .check("echo 0 >/proc/sys/kernel/panic_on_oops")?;
    bench.guest.run(&format!("{MODPROBE} -b {CARD}"))?;
    Ok(())
}

/// The case that our packages prevent: the control of [`ours_first_keeps_r8169_off_b300`].
#[guest_test(r8169 = b300)]
fn alone_meets_b300(case: &Case) -> Result<()> {
    let files = modprobe_files(&case.kernel, None)?;
    let setup = Setup {
        files: Some(files.path()),
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    r8169_meets_b300(&mut bench)?;
    let console = bench.guest.console()?;
    if r8169_oopses(&case.kernel) {
        require!(
                console.contains("BUG: unable to handle page fault")
                    && console.contains("RIP: 0010:rtl_init_one"),
                "r8169 of {} does not oops; if it has been mended there, r8169_oopses() is to say so; the kernel says: {:?}",
                case.kernel.version(),
                bench.driver_messages()?
            );
        println!("r8169_alone_meets_b300, result: oopses");
        // The card is locked forever, on which a power-off waits.
        return bench.guest.switch_off();
    }
    require!(
        bench.bound_interface()? == Loaded::Refused && console.contains("unknown chip XID 300"),
        "r8169 does not refuse XID 300; the kernel says: {:?}",
        bench.driver_messages()?
    );
    println!("r8169_alone_meets_b300, result: refuses");
    bench.finish()
}

/// `make load` after r8169 has been there: it takes over, or names what ends an oops.
#[guest_test(name = "make_load_after_r8169_alone_meets_b300", ours = b300)]
fn make_load_after_r8169(case: &Case) -> Result<()> {
    let files = modprobe_files(&case.kernel, None)?;
    let source = files.path().join("source");
    let script = format!(
            "mkdir -p {source}/scripts && cp {top}/versions.conf {module} {source} && cp {top}/scripts/load {top}/scripts/lib.sh {source}/scripts",
            source = source.display(),
            top = tree("").display(),
            module = case.driver.file().unwrap_or(Path::new("")).display(),
        );
    output_of(Command::new("sh").args(["-c", &script]))?;
    let setup = Setup {
        files: Some(files.path()),
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    r8169_meets_b300(&mut bench)?;
    let load = "sh /source/scripts/load /source/r8168_rust.ko";
    let output = bench.guest.run(load)?;
    if r8169_oopses(&case.kernel) {
        require!(
                output.status == 1
                    && output.text.trim().lines().count() == 1
                    && output.text.contains("modprobe.blacklist=r8169"),
                "scripts/load ends with status {} and says {:?}, expected 1 and one line with what to do",
                output.status,
                output.text
            );
        return bench.guest.switch_off();
    }
    require!(output.status == 0, "scripts/load: {}", output.text);
    is_driven_by(&mut bench, "r8168_rust")?;
    bench.finish()
}

#[guest_test(ours = b300, debug)]
fn first_keeps_r8169_off_b300(case: &Case) -> Result<()> {
    let files = modprobe_files(&case.kernel, Some(&case.driver))?;
    let setup = Setup {
        files: Some(files.path()),
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    r8169_meets_b300(&mut bench)?;
    is_driven_by(&mut bench, "r8168_rust")?;
    bench.guest.check("grep '^r8169 ' /proc/modules")?;
    bench.finish()
}

#[guest_test(name = "r8169_refuses_b300_and_leaves_it_to_ours", ours = b300)]
fn r8169_refuses(case: &Case) -> Result<()> {
    let setup = Setup {
        more_modules: &["r8169"],
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    bench.insert("realtek")?;
    bench.insert("r8169")?;
    let loaded = bench.bound_interface()?;
    let messages = bench.driver_messages()?.join("\n");
    require!(
        loaded == Loaded::Refused && messages.contains("unknown chip XID 300"),
        "for r8169 found {loaded:?}, expected a refusal of XID 300; the kernel says: {messages}"
    );
    bench.insert("r8168_rust")?;
    is_driven_by(&mut bench, "r8168_rust")?;
    bench.finish()
}

#[guest_test(ours = b380, debug)]
fn leaves_a_foreign_chip_to_r8169(case: &Case) -> Result<()> {
    let setup = Setup {
        xid: Some(0x3c0),
        more_modules: &["r8169"],
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    require!(
        bench.device().xid == Some(0x3c0),
        "the guest reads XID {:03x?}, expected 3c0",
        bench.device().xid
    );
    let before = bench.driver_messages()?.len();
    let loaded = bench.load()?;
    require!(
        loaded == Loaded::Refused,
        "for a chip that is not ours found {loaded:?}"
    );
    let messages = bench.driver_messages()?.split_off(before);
    // The kernel's own line about the first out-of-tree module is not the driver's.
    let address = bench.device().address.clone();
    let about: Vec<&String> = messages
        .iter()
        .filter(|line| line.contains(&address) && line.contains("r8168_rust"))
        .collect();
    require!(
        about.len() == 1 && about[0].contains("3c0"),
        "expected one line that names XID 3c0, found {about:?}"
    );
    // Any other error than -ENODEV makes the bus complain in a line of its own.
    require!(
        !messages
            .iter()
            .any(|line| line.contains("failed with error")),
        "expected -ENODEV, which the bus keeps quiet about; found {messages:?}"
    );
    bench.insert("r8169")?;
    let loaded = bench.bound_interface()?;
    require!(
        matches!(loaded, Loaded::Interface(_)),
        "r8169 was left with {loaded:?}, expected that it takes the chip; the kernel says: {:?}",
        bench.driver_messages()?
    );
    bench.finish()
}
