// SPDX-License-Identifier: GPL-2.0

//! Runs the fuzz targets on bytes from a seed: what can be done with a stable toolchain and nothing
//! else. It does not look at which code an input reaches, as libFuzzer does.
//!
//! Usage: seeded --seconds N --seed N --seeds DIRECTORY --artifacts DIRECTORY TARGET... | seeded
//! --input PATH... TARGET
//!
//! Half of the inputs are damaged seeds, if there are any in DIRECTORY/TARGET. With --input, only
//! the file is run, or each file of the directory.

use std::io;
use std::panic::catch_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 3] = [
    ("mmio", rtl8111b_fuzz::mmio),
    ("descriptors", rtl8111b_fuzz::descriptors),
    ("messages", rtl8111b_fuzz::messages),
];

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes that are mostly noise, with runs of the values that matter; or a seed with some of its
/// bytes changed.
fn input(seed: u64, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut state = seed;
    let choice = next(&mut state) as usize;
    if let Some(seed) = seeds
        .get(choice / 2 % seeds.len().max(1))
        .filter(|_| choice % 2 == 0)
    {
        let mut bytes = seed.clone();
        for _ in 0..=next(&mut state) % 16 {
            let at = next(&mut state) as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = next(&mut state) as u8;
            }
        }
        return bytes;
    }
    let len = 16 + next(&mut state) as usize % 1200;
    (0..len)
        .map(|_| {
            let number = next(&mut state);
            match number >> 61 {
                0 => [0x00, 0xff, 0x80, 0xf0, 0x37, 0x38, 0xe4, 0x20][(number >> 8) as usize & 7],
                _ => number as u8,
            }
        })
        .collect()
}

/// The bytes of a file, or of each file of a directory.
fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    if !path.is_dir() {
        return Ok(vec![std::fs::read(path)?]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(path)? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}

fn main() -> ExitCode {
    let (mut seconds, mut seed, mut artifacts) = (10, 1, PathBuf::from("."));
    let (mut inputs, mut seeds) = (Vec::new(), None);
    let mut wanted = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
        match arg.as_str() {
            "--seconds" => seconds = number().unwrap_or(seconds),
            "--seed" => seed = number().unwrap_or(seed),
            "--input" => inputs.extend(args.next().map(PathBuf::from)),
            "--seeds" => seeds = args.next().map(PathBuf::from),
            "--artifacts" => artifacts = args.next().unwrap_or_default().into(),
            name => match TARGETS.iter().find(|target| target.0 == name) {
                Some(target) => wanted.push(*target),
                None => {
                    eprintln!("seeded: no target {name:?}");
                    return ExitCode::from(2);
                }
            },
        }
    }
    let mut failed = false;
    for (name, target) in wanted {
        let kept = if inputs.is_empty() {
            let directory = seeds.iter().map(|seeds: &PathBuf| seeds.join(name));
            directory.filter(|path| path.exists()).collect()
        } else {
            inputs.clone()
        };
        let read: io::Result<Vec<_>> = kept.iter().map(|path| read(path)).collect();
        let known = match read {
            Ok(known) => known.concat(),
            Err(error) => {
                eprintln!("seeded: {name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        if !inputs.is_empty() {
            known.iter().for_each(|bytes| target(bytes));
            println!("{name}: {} inputs", known.len());
            continue;
        }
        let (begin, mut cases) = (Instant::now(), 0u64);
        while begin.elapsed() < Duration::from_secs(seconds) {
            let bytes = input(seed.wrapping_mul(0x1_0000_0001).wrapping_add(cases), &known);
            cases += 1;
            if catch_unwind(|| target(&bytes)).is_err() {
                let path = artifacts.join(format!("crash-{name}"));
                let kept = std::fs::write(&path, &bytes).is_ok();
                let place = if kept {
                    path.display().to_string()
                } else {
                    "nowhere".to_owned()
                };
                println!("{name}: FAILED at case {cases} of seed {seed}; its bytes are in {place}");
                failed = true;
                break;
            }
        }
        println!(
            "{name}: {cases} cases in {:.1} s from seed {seed}",
            begin.elapsed().as_secs_f64()
        );
    }
    ExitCode::from(u8::from(failed))
}
