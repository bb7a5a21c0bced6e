// SPDX-License-Identifier: GPL-2.0

//! `lab selftests`: the kernel's own selftests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use lab::model::Chip;
use lab::selftests::{self, Event, Kept, Plan, Results, Verdict};
use lab::setup::Driver;

use crate::run::Options;
use crate::Progress;

#[derive(Debug, Args)]
pub(crate) struct SelftestOptions {
    #[command(flatten)]
    common: Options,
    /// The Debian environment that the tests run in
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The selftests, installed by their own Makefile
    #[arg(long, value_name = "DIR")]
    tests: PathBuf,
    /// Tests of our own
    #[arg(long, value_name = "DIR")]
    ours: PathBuf,
    /// The tests to run, and what is known of them
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The directory to keep what r8169 gets in, which takes as long as ours
    #[arg(long, value_name = "DIR")]
    reference_cache: PathBuf,
    /// Only tests whose file contains one of these
    words: Vec<String>,
}

pub(crate) fn run(options: &SelftestOptions) -> Result<bool> {
    let inputs = options.common.check()?;
    let progress = Progress {
        start: Instant::now(),
    };
    let text = std::fs::read_to_string(&options.plan)
        .with_context(|| format!("{}: reading the list", options.plan.display()))?;
    let mut plan = Plan::parse(&options.plan.display().to_string(), &text)?;
    plan.keep(&options.words)?;
    let setup = |name: &str, chip, driver| selftests::Setup {
        kernel: &inputs.kernel,
        model: &inputs.model,
        root: &options.root,
        tests: &options.tests,
        ours: &options.ours,
        cache: &inputs.cache,
        artifacts: inputs.artifacts.join(name),
        chip,
        driver,
    };
    let reference = setup("r8169", Chip::B380, Driver::R8169);
    let results = results_of(&reference, &plan, &options.reference_cache, &progress)?;
    let chip = options.common.chip;
    progress.say(format_args!(
        "ours on {}, r8169 on b380 beside it; kernel {}; {} tests, at most {} minutes",
        chip.name(),
        inputs.kernel.version(),
        plan.tests.len(),
        plan.limit().as_secs().div_ceil(60)
    ));
    let mut count = BTreeMap::new();
    let mut bad = 0;
    let mut begun = 0;
    selftests::run(
        &setup("ours", chip, inputs.driver.clone()),
        &plan,
        |event| {
            let (test, cases) = match event {
                Event::Begins(test) => {
                    begun += 1;
                    progress.say(format_args!(
                        "{begun} of {}: {} begins, at most {} s",
                        plan.tests.len(),
                        test.file,
                        test.limit.as_secs()
                    ));
                    return Ok(());
                }
                Event::Ended(test, cases) => (test, cases),
            };
            println!("{}", test.file);
            for case in cases {
                let beside = results
                    .get(&test.file)
                    .and_then(|cases| cases.iter().find(|other| other.name == case.name));
                let verdict = selftests::judge(&plan, &test.file, case, beside);
                bad += usize::from(matches!(verdict, Verdict::Unexplained(_)));
                *count.entry(case.outcome.name()).or_insert(0) += 1;
                println!("{}", selftests::line(case, beside, &verdict));
            }
            Ok(())
        },
    )?;
    let counted: Vec<String> = count
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    println!();
    progress.say(format_args!(
        "{}; {bad} of the failures unexplained",
        counted.join(", ")
    ));
    println!("What the tests wrote is in {}", inputs.artifacts.display());
    Ok(bad == 0)
}

/// The results of r8169 in the same tests; tests whose outcome is not known yet are run.
fn results_of(
    setup: &selftests::Setup<'_>,
    plan: &Plan,
    cache: &Path,
    progress: &Progress,
) -> Result<Results> {
    let kept = Kept::open(cache, setup)?;
    let mut results = Results::new();
    let mut missing = plan.clone();
    missing.tests.retain(|test| match kept.get(plan, test) {
        Some(cases) => {
            results.insert(test.file.clone(), cases);
            false
        }
        None => true,
    });
    if missing.tests.is_empty() {
        return Ok(results);
    }
    progress.say(format_args!(
        "first r8169 on b380, to have something to compare with: {} tests, at most {} minutes; kept for the next time",
        missing.tests.len(),
        missing.limit().as_secs().div_ceil(60)
    ));
    selftests::run(setup, &missing, |event| {
        match event {
            Event::Begins(test) => progress.say(&test.file),
            Event::Ended(test, cases) => {
                if selftests::is_complete(cases) {
                    kept.put(plan, test, cases)?;
                }
                results.insert(test.file.clone(), cases.to_vec());
            }
        }
        Ok(())
    })?;
    Ok(results)
}
