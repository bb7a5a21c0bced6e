//! The module's own KUnit tests.

use lab::bench::Bench;
use lab::model::Chip;
use lab::require;

use crate::common::case;

#[test]
fn the_module_passes_its_own_tests() {
    case("the_module_passes_its_own_tests", |inputs| {
        let (kernel, model) = (inputs.kernel()?, inputs.model()?);
        let mut bench = Bench::start(&inputs.setup(&kernel, &model, Chip::B300, inputs.ours()?))?;
        bench.load()?;
        let results = bench
            .guest
            .check("cat /sys/kernel/debug/kunit/r8168_rust/results")?;
        println!("{results}");
        require!(
            results.contains(" fail:0 skip:0 ") && !results.contains("not ok"),
            "the KUnit tests came to: {results}"
        );
        bench.finish()
    });
}
