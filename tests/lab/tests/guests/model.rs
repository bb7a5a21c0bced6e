//! The device model itself, as a program among others on the host.

use std::thread::sleep;
use std::time::Duration;

use lab::bench::{Bench, Driver};
use lab::drive::{self, Transfer};
use lab::model::Chip;
use lab::{require, Error, Result};

use crate::common::{case_alone, Inputs};

/// CPU time that one large frame may cost, in microseconds.
const FRAME: f64 = 10.0;

/// How long the card is watched doing nothing.
const IDLE: Duration = Duration::from_secs(4);

/// What one large frame of `transfer` cost the model, in microseconds.
fn cost(way: &str, transfer: &Transfer) -> Result<()> {
    let cost = transfer
        .model_cpu()
        .ok_or_else(|| Error::Input("this bench has no device model".to_owned()))?;
    println!("{cost:.1} us of CPU a frame {way}");
    require!(
        cost < FRAME,
        "the model takes {cost:.1} us of CPU for a frame {way}, expected less than {FRAME}"
    );
    Ok(())
}

fn is_quick_and_idle(inputs: &Inputs) -> Result<()> {
    let (kernel, program) = (inputs.kernel()?, inputs.model()?);
    let mut setup = inputs.setup(&kernel, &program, Chip::B380, Driver::R8169);
    setup.pcap = false;
    setup.megabytes = 64;
    let mut bench = Bench::start(&setup)?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    cost("fetched", &drive::fetch(&mut bench)?)?;
    cost("sent", &drive::send(&mut bench)?)?;

    let before = bench.model()?.counters()?;
    sleep(IDLE);
    let used = bench.model()?.counters()?.since(&before).cpu;
    println!("{used:?} of CPU in {IDLE:?} of nothing");
    require!(
        used < IDLE / 100,
        "the model used {used:?} of CPU in {IDLE:?} of nothing, expected less than 1 %"
    );
    bench.finish()
}

#[test]
fn the_model_is_quick_and_idle() {
    case_alone("the_model_is_quick_and_idle", is_quick_and_idle);
}
