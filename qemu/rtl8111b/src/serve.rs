// SPDX-License-Identifier: GPL-2.0

//! Serving: sockets, threads, and a clean end.

use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::Builder;
use std::time::Duration;

use rtl8111b_chip::Chip;
use rtl8111b_control::Handler;
use rtl8111b_pci::ConfigSpace;
use rtl8111b_pci::Identity;
use rtl8111b_trace::Recorder;
use rtl8111b_trace::TraceError;
use rtl8111b_transport::Ended;
use rtl8111b_transport::Server;
use rtl8111b_wire::EventLoop;
use rtl8111b_wire::Pcap;
use rtl8111b_wire::Spec;
use rtl8111b_wire::WireError;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use thiserror::Error;

use crate::args::Serve;
use crate::device::Device;
use crate::device::Shared;
use crate::logger;
use crate::report::Report;
use crate::socket;
use crate::socket::ClaimError;

#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("cannot write the log {path}: {source}", path = .path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Socket(#[from] ClaimError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Client(#[from] rtl8111b_transport::ServeError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("the trace {path} is not complete; the log says why", path = .0.display())]
    Incomplete(PathBuf),
    #[error("{0}")]
    Host(#[from] io::Error),
}

/// The reason to end.
enum End {
    Signal(i32),
    Once(Result<(), rtl8111b_transport::ServeError>),
}

/// Serves until a signal or the control socket ends it.
pub(crate) fn run(options: &Serve) -> Result<(), ServeError> {
    logger::start(options.log.as_deref(), options.log_level).map_err(|source| ServeError::Log {
        path: options.log.clone().unwrap_or_default(),
        source,
    })?;
    // Before anything that has to be cleaned up.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (ended, end) = mpsc::channel();
    let signalled = ended.clone();
    spawn("signals", move || {
        for signal in signals.forever() {
            let _ = signalled.send(End::Signal(signal));
        }
    })?;

    let (listener, claim) = socket::claim(&options.socket)?;
    let mut claims = vec![claim];
    let mut listen = |path: Option<&PathBuf>| -> Result<_, ServeError> {
        let Some(path) = path else {
            return Ok(None);
        };
        let (listener, claim) = socket::claim(path)?;
        claims.push(claim);
        Ok(Some(listener))
    };
    let control = listen(options.control.as_ref())?;
    let wire_path = match &options.wire {
        Spec::Listen(path) => Some(path),
        _ => None,
    };
    let wire_listener = listen(wire_path)?;
    let pcap = options
        .pcap
        .as_deref()
        .map(|path| Pcap::create(path, options.pcap_snaplen))
        .transpose()?;
    let pcap = pcap.map(|pcap| Arc::new(Mutex::new(pcap)));
    let (event_loop, sender) = EventLoop::open(&options.wire, wire_listener, pcap.clone())?;

    let identity = Identity {
        vendor: options.vendor_id,
        device: options.device_id,
        ..Identity::default()
    };
    let chip = Chip::new(options.chip());
    let config = ConfigSpace::new(identity, chip.eeprom());
    let mut device = Device::new(chip, config, sender);
    device.set_prompt_acks(!options.late_acks);
    if let Some(path) = &options.trace {
        device.record(Recorder::create(
            path,
            options.chip(),
            options.trace_limit(),
        )?);
    }
    let device = Arc::new(Shared(Mutex::new(device)));

    let station = device.clone();
    spawn("wire", move || event_loop.run(station.as_ref()))?;
    let clock = device.clone();
    spawn("clock", move || clock.keep_time())?;
    if let Some(control) = control {
        let handler: Arc<dyn Handler> = Arc::new(Report {
            device: device.clone(),
            pcap: pcap.clone(),
        });
        spawn("control", move || {
            rtl8111b_control::serve(&control, &handler)
        })?;
    }
    let server = Server::new(
        listener,
        &[(0, rtl8111b_pci::IO_SIZE), (2, rtl8111b_pci::MEMORY_SIZE)],
        rtl8111b_pci::SIZE as u64,
    );
    let (endpoint, once) = (device.clone(), options.once);
    spawn("vfio-user", move || {
        let result = serve_clients(&server, &endpoint, once);
        let _ = ended.send(End::Once(result));
    })?;

    let mut out = io::stdout();
    writeln!(out, "ready: {}", options.socket.display())?;
    out.flush()?;

    let result = match end.recv() {
        Ok(End::Signal(signal)) => {
            log::info!("ending on signal {signal}");
            Ok(())
        }
        Ok(End::Once(result)) => {
            log::info!("ending: the client is gone");
            result
        }
        Err(_) => Ok(()),
    };
    // The lock is kept: whatever the other threads were about to do, the state stays as it is from
    // here on. They end with the process.
    let mut device = device.lock();
    device.flush_trace();
    if let Some(pcap) = &pcap {
        pcap.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
    result?;
    match &options.trace {
        Some(path) if !device.trace_is_whole() => Err(ServeError::Incomplete(path.clone())),
        _ => Ok(()),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Serves one client after the other; comes back after the first one if that is all.
fn serve_clients(
    server: &Server,
    device: &Shared,
    once: bool,
) -> Result<(), rtl8111b_transport::ServeError> {
    loop {
        match server.serve_one(&device.0) {
            Ok(Ended::Visitor) => {}
            Ok(Ended::Client) => {
                log::info!("the client has disconnected");
                if once {
                    return Ok(());
                }
            }
            Err(error) if once => return Err(error),
            Err(error) => {
                log::error!("{error}");
                // Should the socket itself be broken, do not fill the log.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}
