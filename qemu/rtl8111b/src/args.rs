// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use rtl8111b_chip::Eeprom;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Revision;
use rtl8111b_chip::RxMode;
use rtl8111b_chip::EEPROM_WORDS;
use rtl8111b_chip::PHY_RTL8211;
use rtl8111b_chip::PHY_RTL8211B;
use rtl8111b_control::FaultRequest;
use rtl8111b_control::Request;
use rtl8111b_wire::Spec;

/// An emulated RTL8111B network card for a stock QEMU with vfio-user.
#[derive(Debug, Parser)]
#[command(name = "rtl8111b", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve an emulated card until SIGINT or SIGTERM
    #[command(
        after_help = "QEMU attaches it with shared guest memory (-machine memory-backend=mem\n\
        -object memory-backend-memfd,id=mem,size=1G,share=on) and\n  \
        -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"path\":\"PATH\",\"type\":\"unix\"}}'\n\
        When all sockets are there, one line is printed: ready: PATH"
    )]
    Serve(Box<Serve>),
    /// Talk to a running card through its control socket
    #[command(after_long_help = faults_help())]
    Ctl(Ctl),
    /// Read what serve --trace has written
    #[command(subcommand)]
    Trace(Trace),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trace {
    /// Print a trace with the names of registers and fields
    Show { file: PathBuf },
    /// Compare what the registers hold and the order in which they were written; exit status 1 if
    /// they differ
    Diff(Diff),
    /// Play a trace on a new chip and show where it differs
    Replay { file: PathBuf },
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Up to where receiver, transmitter and interrupts are all on for the first time, instead of
    /// the end
    #[arg(long)]
    pub(crate) open: bool,
    /// Compare addresses of memory and the time as well, which two runs never share
    #[arg(long)]
    pub(crate) all: bool,
    /// Leave out the writes that both have
    #[arg(long)]
    pub(crate) brief: bool,
    #[arg(value_name = "A")]
    pub(crate) first: PathBuf,
    #[arg(value_name = "B")]
    pub(crate) second: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChipName {
    B300,
    B380,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RxModeName {
    /// The chip's behaviour: with flow control negotiated the partner pauses; else 64 KiB are kept
    /// inside, and what comes then is lost
    Silicon,
    /// The cable pauses until the driver has room, whatever was negotiated
    Wait,
    /// Frames without a descriptor are lost at once
    Drop,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The socket that QEMU connects to
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// The chip: XID 0x300 or 0x380
    #[arg(long, value_enum, default_value_t = ChipName::B300)]
    chip: ChipName,
    /// Station address; all zeroes, all ones or a group address are what a chip with a blank EEPROM
    /// may have
    #[arg(long, value_parser = mac, default_value = "52:54:00:81:68:01")]
    mac: [u8; 6],
    /// The EEPROM: its 128 bytes (an address in it takes precedence over --mac), or "none"
    #[arg(long, value_parser = eeprom, value_name = "FILE")]
    eeprom: Option<Eeprom>,
    /// Show another chip's identity in TxConfig
    #[arg(long, value_parser = xid, value_name = "0xNNN")]
    xid: Option<u16>,
    /// The second half of the PHY's identity, 0xc910 or 0xc912; without it 0xc910 on b300 and
    /// 0xc912 on b380
    #[arg(long, value_parser = phy_id, value_name = "0xNNNN")]
    phy_id: Option<u16>,
    /// PCI vendor
    #[arg(long, value_parser = word, default_value = "0x10ec", value_name = "0xNNNN")]
    pub(crate) vendor_id: u16,
    /// PCI device
    #[arg(long, value_parser = word, default_value = "0x8168", value_name = "0xNNNN")]
    pub(crate) device_id: u16,
    /// The cable: none, stream:connect:PATH, stream:listen:PATH or tap:IFNAME
    #[arg(long, value_name = "WIRE", default_value = "none", value_parser = wire)]
    pub(crate) wire: Spec,
    /// Capture the cable's frames
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Capture at most BYTES of each frame; its length is kept
    #[arg(long, value_name = "BYTES", requires = "pcap", value_parser = clap::value_parser!(u32).range(14..))]
    pub(crate) pcap_snaplen: Option<u32>,
    /// Write down everything that happens to the chip: "rtl8111b trace" reads it
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Only the last of it: a file of so many MiB is renamed to FILE.before and the next begins. It
    /// can be shown, not replayed
    #[arg(long, value_name = "MIB", requires = "trace", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    trace_limit: Option<u64>,
    /// Socket for counters and commands
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// The file that the log goes to (standard error)
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The level of the log: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: log::LevelFilter,
    /// The time that a negotiation of the link takes, in milliseconds; 2000 is true to life
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(..=60_000))]
    negotiation: u32,
    /// The time that an access to the PHY, a reset and a dump of the counters take each, in
    /// microseconds
    #[arg(long, value_name = "US", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=100_000))]
    command_time: u32,
    /// Modes of the link partner: 10, 100 or 1000 (all modes up to it), a list such as
    /// 10full,100half, or fixed-100full, which does not negotiate
    #[arg(long, value_name = "MODES", default_value = "1000")]
    partner: Partner,
    /// The fate of frames for which the driver has no room
    #[arg(long, value_enum, default_value_t = RxModeName::Silicon)]
    rx_mode: RxModeName,
    /// The time since the driver's last access to the card, in milliseconds, up to which a frame
    /// waits on the cable instead of being lost for want of room: a guest without KVM is slower
    /// than any machine that had this chip. 0: as on a real cable
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=60_000))]
    rx_timeout: u32,
    /// Frames come in, too, while the driver's acknowledgement of what it read in IntrStatus is on
    /// its way: from a guest without KVM it takes up to 3 ms, on a bus less than a frame on the
    /// cable. A driver may wait forever then (iPXE)
    #[arg(long)]
    pub(crate) late_acks: bool,
    /// The default, which --late-acks changes
    #[arg(long, hide = true, conflicts_with = "late_acks")]
    prompt_acks: bool,
    /// End when QEMU disconnects
    #[arg(long)]
    pub(crate) once: bool,
}

impl Serve {
    pub(crate) fn trace_limit(&self) -> Option<u64> {
        self.trace_limit.map(|mib| mib << 20)
    }

    pub(crate) fn chip(&self) -> rtl8111b_chip::Config {
        rtl8111b_chip::Config {
            revision: match self.chip {
                ChipName::B300 => Revision::B300,
                ChipName::B380 => Revision::B380,
            },
            xid: self.xid,
            phy_id: self.phy_id,
            eeprom: self.eeprom.unwrap_or_default(),
            mac: self.mac,
            partner: self.partner,
            negotiation: self.negotiation,
            command_time: self.command_time,
            rx_timeout: self.rx_timeout,
            rx_mode: match self.rx_mode {
                RxModeName::Silicon => RxMode::Silicon,
                RxModeName::Wait => RxMode::Wait,
                RxModeName::Drop => RxMode::Drop,
            },
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// The card's control socket
    #[arg(long, value_name = "PATH")]
    pub(crate) control: PathBuf,
    #[command(subcommand)]
    ask: Ask,
}

#[derive(Clone, Debug, Subcommand)]
enum Ask {
    /// Show the counters
    Counters,
    /// Count from zero again
    ResetCounters,
    /// Plug the cable in or pull it
    Link {
        #[arg(value_enum)]
        to: UpDown,
    },
    /// Plug the cable into another partner (see serve --partner)
    Partner { modes: Partner },
    /// Registers, rings and PHY
    State,
    /// List the faults that are on, and how often they have fired
    Faults,
    /// Turn a fault on or off
    #[command(after_help = faults_help())]
    Fault(FaultArgs),
}

#[derive(Clone, Debug, Args)]
struct FaultArgs {
    /// The fault
    #[arg(value_parser = fault_name)]
    name: FaultKind,
    #[arg(value_enum)]
    to: OnOff,
    /// The seed of its choices: the same seed and the same opportunities give the same hits (0)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// It fires at one in N opportunities
    #[arg(long, value_name = "1/N", value_parser = rate)]
    rate: Option<u32>,
    /// It ends after N hits (not tx-stall and gone)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Its time in milliseconds
    #[arg(long, value_name = "N")]
    millis: Option<u32>,
    /// It ends when the driver resets the chip (ChipCmd bit 4)
    #[arg(long)]
    until_reset: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnOff {
    On,
    Off,
}

fn fault_name(text: &str) -> Result<FaultKind, String> {
    FaultKind::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = FaultKind::all().map(FaultKind::name).collect();
        format!("there are {}", names.join(", "))
    })
}

fn rate(text: &str) -> Result<u32, String> {
    text.strip_prefix("1/")
        .and_then(|number| number.parse().ok())
        .filter(|&number| number > 0)
        .ok_or_else(|| "expected a rate such as 1/16".to_owned())
}

fn faults_help() -> String {
    let mut text = "Faults (usual rate and time):\n".to_owned();
    for kind in FaultKind::all() {
        let mut usual = format!("1/{}", kind.default_rate());
        if kind.default_millis() > 0 {
            usual += &format!(", {} ms", kind.default_millis());
        }
        text += &format!("  {:<19} {} ({usual})\n", kind.name(), kind.description());
    }
    text
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UpDown {
    Up,
    Down,
}

impl Ctl {
    pub(crate) fn request(&self) -> Request {
        match &self.ask {
            Ask::Counters => Request::Counters,
            Ask::ResetCounters => Request::ResetCounters,
            Ask::State => Request::State,
            Ask::Link { to } => Request::Link {
                up: matches!(to, UpDown::Up),
            },
            Ask::Partner { modes } => Request::Partner {
                modes: modes.to_string(),
            },
            Ask::Faults => Request::Faults,
            Ask::Fault(fault) => Request::Fault(FaultRequest {
                name: fault.name.name().to_owned(),
                on: matches!(fault.to, OnOff::On),
                seed: fault.seed,
                rate: fault.rate,
                count: fault.count,
                millis: fault.millis,
                until_reset: fault.until_reset,
            }),
        }
    }
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            Some(part)
                .filter(|p| p.len() == 2)
                .and_then(|p| u8::from_str_radix(p, 16).ok())
        })
        .collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "expected six bytes such as 52:54:00:81:68:01".to_owned())
}

fn word(text: &str) -> Result<u16, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or("expected a number such as 0x8168")?;
    u16::from_str_radix(digits, 16).map_err(|_| "expected a number such as 0x8168".to_owned())
}

fn xid(text: &str) -> Result<u16, String> {
    word(text)
        .ok()
        .filter(|xid| xid & !0xfcf == 0)
        .ok_or_else(|| "expected a number within 0xfcf such as 0x541".to_owned())
}

fn phy_id(text: &str) -> Result<u16, String> {
    word(text)
        .ok()
        .filter(|id| [PHY_RTL8211, PHY_RTL8211B].contains(id))
        .ok_or_else(|| format!("expected {PHY_RTL8211:#x} or {PHY_RTL8211B:#x}"))
}

fn eeprom(text: &str) -> Result<Eeprom, String> {
    if text == "none" {
        return Ok(Eeprom::None);
    }
    let bytes = std::fs::read(text).map_err(|error| error.to_string())?;
    let size = 2 * EEPROM_WORDS;
    if bytes.len() != size {
        return Err(format!("it has {} bytes, not {size}", bytes.len()));
    }
    let mut words = [0; EEPROM_WORDS];
    for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = u16::from_le_bytes([pair[0], pair[1]]);
    }
    Ok(Eeprom::Image(words))
}

fn wire(text: &str) -> Result<Spec, String> {
    text.parse()
}

/// The command line, parsed.
#[derive(Debug)]
pub(crate) enum Parsed {
    Command(Command),
    /// Help or version.
    Text(String),
}

/// Understands the command line; an error is one line.
pub(crate) fn parse() -> Result<Parsed, String> {
    parse_from(std::env::args_os())
}

fn parse_from<T: Into<std::ffi::OsString> + Clone>(
    args: impl IntoIterator<Item = T>,
) -> Result<Parsed, String> {
    match Cli::try_parse_from(args) {
        Ok(cli) => Ok(Parsed::Command(cli.command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Text(error.to_string()))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err("a command is missing: serve, ctl or trace (--help says more)".to_owned())
            }
            _ => Err(one_line(&error.to_string())),
        },
    }
}

/// clap writes paragraphs: the first one says what is wrong.
fn one_line(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or(text);
    let words: Vec<&str> = first.split_whitespace().collect();
    let line = words.join(" ");
    line.strip_prefix("error: ")
        .map_or(line.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn error(args: &[&str]) -> String {
        let all = std::iter::once(&"rtl8111b").chain(args);
        match parse_from(all) {
            Err(line) => line,
            Ok(parsed) => panic!("accepted: {parsed:?}"),
        }
    }

    #[test]
    fn errors_are_one_line() {
        for args in [
            &[][..],
            &["serve"],
            &["serve", "--socket"],
            &["serve", "--socket", "x", "--chip", "b301"],
            &["serve", "--socket", "x", "--mac", "52:54:00:81:68:zz"],
            &["serve", "--socket", "x", "--mac", "52:54:00:81:68"],
            &["serve", "--socket", "x", "--wire", "wet string"],
            &["serve", "--socket", "x", "--xid", "0xfff"],
            &["serve", "--socket", "x", "--device-id", "8168"],
            &["serve", "--socket", "x", "--nonsense"],
            &["ctl", "--control", "x"],
            &["ctl", "--control", "x", "link", "sideways"],
            &["ctl", "--control", "x", "fault", "earthquake", "on"],
            &["ctl", "--control", "x", "fault", "lie"],
            &["ctl", "--control", "x", "fault", "lie", "on", "--rate", "8"],
            &[
                "ctl",
                "--control",
                "x",
                "fault",
                "lie",
                "on",
                "--rate",
                "1/0",
            ],
            &[
                "ctl",
                "--control",
                "x",
                "fault",
                "lie",
                "on",
                "--count",
                "0",
            ],
            &["dance"],
            &["serve", "--socket", "x", "--eeprom", "no/such/file"],
            &["serve", "--socket", "x", "--partner", "1001"],
            &["serve", "--socket", "x", "--negotiation", "-1"],
            &["ctl", "--control", "x", "partner", "fixed-1000full"],
            &["trace"],
            &["trace", "diff", "one"],
            &["serve", "--socket", "x", "--trace-limit", "64"],
        ] {
            let line = error(args);
            assert!(
                !line.is_empty() && !line.contains('\n') && !line.starts_with("error"),
                "{line}"
            );
        }
    }

    #[test]
    fn every_fault_can_be_ordered_and_is_told_of() {
        for kind in FaultKind::all() {
            let args = format!(
                "rtl8111b ctl --control c fault {} on --seed 7 --rate 1/3",
                kind.name()
            );
            let Ok(Parsed::Command(Command::Ctl(ctl))) = parse_from(args.split_whitespace()) else {
                panic!("refused: {args}");
            };
            let Request::Fault(fault) = ctl.request() else {
                panic!("no fault");
            };
            assert_eq!(fault.name, kind.name());
            assert_eq!((fault.on, fault.seed, fault.rate), (true, Some(7), Some(3)));
            assert!(faults_help().contains(kind.description()) && kind.description().len() > 10);
        }
    }

    /// Adds the options of this command, and of those below it, that --help shows.
    fn add_options(command: &clap::Command, options: &mut BTreeSet<String>) {
        let shown = command.get_arguments().filter(|one| !one.is_hide_set());
        options.extend(shown.filter_map(|one| Some(format!("--{}", one.get_long()?))));
        for below in command.get_subcommands() {
            add_options(below, options);
        }
    }

    /// Asserts that the page has all commands below this one.
    fn assert_in_page(page: &str, command: &clap::Command) {
        for below in command.get_subcommands() {
            let name = below.get_name();
            assert!(page.contains(name), "{name}");
            assert_in_page(page, below);
        }
    }

    #[test]
    fn the_manual_page_has_every_command_and_no_other_options() {
        let page = include_str!("../../../docs/rtl8111b.1").replace("\\-", "-");
        let command = <Cli as clap::CommandFactory>::command();
        assert_in_page(&page, &command);
        let mut options = BTreeSet::new();
        add_options(&command, &mut options);
        let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let named: BTreeSet<String> = words
            .filter_map(|word| Some(word[word.find("--")?..].to_owned()))
            .collect();
        let common = ["--help", "--version"].map(str::to_owned).into();
        assert_eq!(&named - &common, &options - &common);
    }

    #[test]
    fn a_card_may_have_an_address_that_is_none() {
        for (text, mac) in [
            ("00:00:00:00:00:00", [0; 6]),
            ("ff:ff:ff:ff:ff:ff", [0xff; 6]),
            ("01:00:5e:00:00:01", [1, 0, 0x5e, 0, 0, 1]),
        ] {
            let args = ["rtl8111b", "serve", "--socket", "s", "--mac", text];
            let Ok(Parsed::Command(Command::Serve(serve))) = parse_from(args) else {
                panic!("refused: {text}");
            };
            assert_eq!(serve.chip().mac, mac);
        }
    }

    #[test]
    fn a_full_command_line() {
        let args = "rtl8111b serve --socket s --chip b380 --mac 02:00:00:00:00:01 --xid 0x541 --vendor-id 0x0001 \
            --partner 100half --negotiation 2000 --command-time 7 --wire stream:listen:w --pcap p --pcap-snaplen 128 --control c --log l --rx-mode drop --rx-timeout 0 --once";
        let Ok(Parsed::Command(Command::Serve(serve))) = parse_from(args.split_whitespace()) else {
            panic!("refused");
        };
        let chip = serve.chip();
        assert_eq!(chip.revision, Revision::B380);
        assert_eq!(chip.mac, [2, 0, 0, 0, 0, 1]);
        assert_eq!(chip.xid, Some(0x541));
        assert_eq!((chip.rx_mode, chip.rx_timeout), (RxMode::Drop, 0));
        assert_eq!(
            (chip.negotiation, chip.partner.to_string()),
            (2000, "100half".to_owned())
        );
        assert_eq!(chip.command_time, 7);
        assert_eq!((serve.vendor_id, serve.device_id), (1, 0x8168));
        assert_eq!(serve.pcap_snaplen, Some(128));
        assert!(serve.once);
    }
}
