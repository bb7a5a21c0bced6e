// SPDX-License-Identifier: GPL-2.0

//! `scripts/passthrough` against made trees of /sys and /proc, with a script that plays the
//! kernel's part.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lab::process::wait_for;

const CARD: &str = "0000:02:00.0";
const OTHER: &str = "0000:00:1f.2";

/// Does what the kernel does when someone writes to these files.
const KERNEL: &str = r#"#!/bin/sh
set -eu
value=$1 file=$2
devices=${file%%/bus/pci/*}/bus/pci/devices
case $file in
*/driver_override) echo "$value" >"$file" ;;
*/driver/unbind) rm "${file%/unbind}"; rm -rf "${file%/driver/unbind}/net" ;;
*/drivers_probe)
    wanted=$(cat "$devices/$value/driver_override")
    wanted=${wanted:-$(cat "$devices/$value/usual_driver")}
    [ -z "$wanted" ] || ln -s "../../drivers/$wanted" "$devices/$value/driver"
    ;;
*) echo "what is $file?" >&2; exit 1 ;;
esac
"#;

/// A machine with one card, alone in its group, that r8169 drives.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        machine.write(
            "proc/net/route",
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n",
        );
        machine.write("proc/net/ipv6_route", "");
        machine.device(CARD, "0x10ec", "0x8168", "0x020000", "7");
        machine.write(&format!("{}/revision", device(CARD)), "0x01\n");
        machine.write(&format!("{}/driver_override", device(CARD)), "\n");
        machine.write(&format!("{}/usual_driver", device(CARD)), "r8169");
        machine.write(&format!("{}/net/enp2s0/ifindex", device(CARD)), "3\n");
        machine.link("../../drivers/r8169", &format!("{}/driver", device(CARD)));
        for driver in ["r8169", "vfio-pci"] {
            machine.write(&format!("sys/bus/pci/drivers/{driver}/bind"), "");
        }
        machine.program("kernel", KERNEL);
        machine.lab("test \"$(readlink sys/bus/pci/devices/0000:02:00.0/driver | xargs basename)\" = vfio-pci && echo \"$@\" >ran");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, to: &str, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Replaces `scripts/lab` by a script that runs in the machine's directory.
    fn lab(&self, script: &str) {
        let dir = self.dir.path().display();
        self.program("lab", &format!("#!/bin/sh\ncd {dir}\n{script}\n"));
    }

    fn device(&self, address: &str, vendor: &str, id: &str, class: &str, group: &str) {
        for (name, text) in [("vendor", vendor), ("device", id), ("class", class)] {
            self.write(&format!("{}/{name}", device(address)), &format!("{text}\n"));
        }
        let groups = format!("sys/kernel/iommu_groups/{group}");
        self.link(
            &format!("../../../../../{groups}"),
            &format!("{}/iommu_group", device(address)),
        );
        self.link(
            &format!("../../../../../{}", device(address)),
            &format!("{groups}/devices/{address}"),
        );
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/passthrough");
        let mut command = Command::new(script);
        command
            .arg(arguments[0])
            .args(["--sysfs".as_ref(), self.path("sys").as_os_str()])
            .args(["--proc".as_ref(), self.path("proc").as_os_str()])
            .args(&arguments[1..])
            .env("PASSTHROUGH_KERNEL", self.path("kernel"))
            .env("PASSTHROUGH_LAB", self.path("lab"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (status.code(), text.concat())
    }

    fn driver(&self) -> String {
        let target = fs::read_link(self.path(&device(CARD)).join("driver")).unwrap_or_default();
        target
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Nothing may have been touched, and the reason must be reported.
    #[track_caller]
    fn refuses(&self, reason: &str) {
        let (status, text) = self.run(&["run", CARD]);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(reason), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(self.driver(), "r8169");
        assert!(!self.path("ran").exists());
        let (_, text) = self.run(&["list"]);
        assert!(text.contains(reason), "{text}");
    }
}

fn device(address: &str) -> String {
    format!("sys/bus/pci/devices/{address}")
}

#[test]
fn a_card_is_taken_and_given_back() {
    let machine = Machine::new();
    let (status, text) = machine.run(&["run", "--reach", "192.0.2.1", CARD]);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(
        fs::read_to_string(machine.path("ran")).unwrap(),
        format!("card {CARD} 192.0.2.1\n")
    );
    assert!(text.contains("is back with r8169"), "{text}");
    assert_eq!(machine.driver(), "r8169");
    let (_, text) = machine.run(&["list"]);
    assert!(text.contains("r8169       7      -          yes"), "{text}");
}

#[test]
fn a_card_that_had_no_driver_has_none_again() {
    let machine = Machine::new();
    fs::remove_file(machine.path(&device(CARD)).join("driver")).unwrap();
    machine.write(&format!("{}/usual_driver", device(CARD)), "");
    let (status, text) = machine.run(&["run", CARD]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("is back with no driver"), "{text}");
    assert_eq!(machine.driver(), "");
}

#[test]
fn a_run_that_fails_gives_the_card_back_and_fails() {
    let machine = Machine::new();
    machine.lab("exit 1");
    let (status, text) = machine.run(&["run", CARD]);
    assert_eq!(status, Some(1), "{text}");
    assert_eq!(machine.driver(), "r8169");
}

#[test]
fn an_interrupted_run_gives_the_card_back() {
    let machine = Machine::new();
    machine.lab("echo >ran; exec sleep 60");
    let mut child: Child = machine
        .command(&["run", CARD])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limit = Duration::from_secs(20);
    wait_for("the guest", limit, || {
        Ok(machine.path("ran").exists().then_some(()))
    })
    .unwrap();
    assert_eq!(machine.driver(), "vfio-pci");
    let kill = format!("kill {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status();
    assert!(status.unwrap().success());
    let ended = wait_for("the script to end", limit, || Ok(child.try_wait().unwrap())).unwrap();
    assert_eq!(ended.code(), Some(1));
    assert_eq!(machine.driver(), "r8169");
}

#[test]
fn a_card_left_behind_is_given_back() {
    let machine = Machine::new();
    let (status, text) = machine.run(&["give-back", CARD]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("nothing to give back"), "{text}");
    fs::remove_file(machine.path(&device(CARD)).join("driver")).unwrap();
    machine.link(
        "../../drivers/vfio-pci",
        &format!("{}/driver", device(CARD)),
    );
    machine.write(&format!("{}/driver_override", device(CARD)), "vfio-pci\n");
    let (status, text) = machine.run(&["run", CARD]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("give-back 0000:02:00.0"), "{text}");
    let (status, text) = machine.run(&["give-back", CARD]);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(machine.driver(), "r8169");
}

#[test]
fn a_dry_run_changes_nothing() {
    let machine = Machine::new();
    let (status, text) = machine.run(&["run", "--dry-run", CARD]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("would write 'vfio-pci' to"), "{text}");
    assert_eq!(machine.driver(), "r8169");
    assert!(!machine.path("ran").exists());
}

#[test]
fn a_card_that_carries_a_default_route_is_refused() {
    let machine = Machine::new();
    machine.write(
        "proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
         enp2s0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n",
    );
    machine.refuses("enp2s0 carries a default route");

    let machine = Machine::new();
    let zero = "0".repeat(32);
    machine.write(
        "proc/net/ipv6_route",
        &format!("{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 enp2s0\n"),
    );
    machine.refuses("enp2s0 carries a default route");
}

#[test]
fn a_card_in_a_bridge_that_carries_a_default_route_is_refused() {
    let machine = Machine::new();
    machine.link("../br0", "sys/class/net/enp2s0/master");
    machine.write(
        "proc/net/route",
        "Iface Destination\nbr0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n",
    );
    machine.refuses("enp2s0 carries a default route");
}

#[test]
fn a_card_that_shares_its_group_is_refused_but_for_bridges() {
    let machine = Machine::new();
    machine.device("0000:00:1c.0", "0x8086", "0x9d10", "0x060400", "7");
    let (status, text) = machine.run(&["run", CARD]);
    assert_eq!(status, Some(0), "{text}");
    fs::remove_file(machine.path("ran")).unwrap();
    machine.device(OTHER, "0x8086", "0x9d03", "0x010601", "7");
    machine.refuses("IOMMU group 7 also holds 0000:00:1f.2");
}

#[test]
fn a_machine_without_an_iommu_is_refused() {
    let machine = Machine::new();
    fs::remove_file(machine.path(&device(CARD)).join("iommu_group")).unwrap();
    machine.refuses("found no IOMMU");
}

#[test]
fn what_is_no_such_card_is_refused() {
    let machine = Machine::new();
    machine.device(OTHER, "0x8086", "0x9d03", "0x010601", "8");
    let (status, text) = machine.run(&["run", OTHER]);
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("has the PCI id 0x8086:0x9d03, expected 0x10ec:0x8168"),
        "{text}"
    );
    let (status, text) = machine.run(&["run", "0000:09:00.0"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("found no PCI device 0000:09:00.0"), "{text}");
    machine.write(&format!("{}/revision", device(CARD)), "0x0c\n");
    let (_, text) = machine.run(&["list"]);
    assert!(text.contains("not an RTL8111B by its revision"), "{text}");
    assert!(!text.contains(OTHER), "{text}");
}
