// SPDX-License-Identifier: GPL-2.0

//! LibAFL with a guest as its target.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroUsize;

use lab::Result;
use libafl::corpus::{Corpus, CorpusId, InMemoryCorpus};
use libafl::events::SimpleEventManager;
use libafl::executors::{Executor, ExitKind, HasObservers};
use libafl::feedbacks::{CrashFeedback, MaxMapFeedback};
use libafl::fuzzer::{Evaluator, Fuzzer, StdFuzzer};
use libafl::inputs::{BytesInput, HasMutatorBytes, ResizableMutator};
use libafl::monitors::NopMonitor;
use libafl::mutators::mutations::{
    BitFlipMutator, ByteAddMutator, ByteDecMutator, ByteFlipMutator, ByteIncMutator,
    ByteInterestingMutator, ByteNegMutator, ByteRandMutator, DwordAddMutator,
    DwordInterestingMutator, WordAddMutator, WordInterestingMutator,
};
use libafl::mutators::{MutationResult, Mutator, StdScheduledMutator};
use libafl::observers::{HitcountsMapObserver, StdMapObserver};
use libafl::schedulers::QueueScheduler;
use libafl::stages::StdMutationalStage;
use libafl::state::{HasCorpus, HasExecutions, HasRand, StdState};
use libafl_bolts::rands::{Rand, StdRand};
use libafl_bolts::tuples::{tuple_list, RefIndexable};
use libafl_bolts::{AsSliceMut, Named};

use crate::coverage::MAP;
use crate::input::{ITEM, MOST};
use crate::target::{Outcome, Target};

/// The inputs before a find that its file has.
const BEFORE: usize = 16;

/// The most mutations of one kept input in a row.
const MUTATIONS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// The binary logarithm of how many mutations at most are made at once, less one.
const STACKED: usize = 3;

type Map = HitcountsMapObserver<StdMapObserver<'static, u8, false>>;

/// A function for the outcome of each execution: it gets the inputs that the guest got before, the
/// input, and the outcome, and returns whether there is to be another one.
pub(crate) type Report<'a> = dyn FnMut(&Target, &[Vec<u8>], &[u8], &Outcome) -> bool + 'a;

/// The guest as LibAFL sees it.
struct Guest<'a> {
    target: &'a mut Target,
    observers: (Map, ()),
    before: VecDeque<Vec<u8>>,
    report: &'a mut Report<'a>,
    enough: bool,
    /// The reason why no input can be tried any more.
    failure: Option<lab::Error>,
}

impl HasObservers for Guest<'_> {
    type Observers = (Map, ());

    fn observers(&self) -> RefIndexable<&Self::Observers, Self::Observers> {
        RefIndexable::from(&self.observers)
    }

    fn observers_mut(&mut self) -> RefIndexable<&mut Self::Observers, Self::Observers> {
        RefIndexable::from(&mut self.observers)
    }
}

impl<EM, S: HasExecutions, Z> Executor<EM, BytesInput, S, Z> for Guest<'_> {
    fn run_target(
        &mut self,
        _fuzzer: &mut Z,
        state: &mut S,
        _manager: &mut EM,
        input: &BytesInput,
    ) -> std::result::Result<ExitKind, libafl::Error> {
        // Mutations of one input are made in a row, whatever happens.
        if self.enough {
            return Ok(ExitKind::Ok);
        }
        *state.executions_mut() += 1;
        let input = input.mutator_bytes();
        let map = self.observers.0.as_slice_mut();
        let outcome = match self.target.execute(input, map) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.failure = Some(error);
                return Err(libafl::Error::shutting_down());
            }
        };
        self.before.make_contiguous();
        let before = self.before.as_slices().0;
        self.enough = !(self.report)(self.target, before, input, &outcome);
        if let Outcome::Found(_) = outcome {
            self.before.clear();
            return Ok(ExitKind::Crash);
        }
        self.before.push_back(input.to_vec());
        if self.before.len() > BEFORE {
            self.before.pop_front();
        }
        Ok(ExitKind::Ok)
    }
}

/// Changes items as wholes: adds one, drops one, repeats one, exchanges two, or takes some of
/// another input. What changes bytes within items keeps their number.
struct Items;

impl Named for Items {
    fn name(&self) -> &Cow<'static, str> {
        static NAME: Cow<'static, str> = Cow::Borrowed("Items");
        &NAME
    }
}

impl<S> Mutator<BytesInput, S> for Items
where
    S: HasRand + HasCorpus<BytesInput>,
{
    fn mutate(
        &mut self,
        state: &mut S,
        input: &mut BytesInput,
    ) -> std::result::Result<MutationResult, libafl::Error> {
        let other = {
            let count = state.corpus().count();
            let number = state.rand_mut().below_or_zero(count);
            let id = CorpusId::from(number);
            match state.corpus().get(id) {
                Ok(case) => case.borrow().input().clone(),
                Err(_) => None,
            }
        };
        let other = other.map_or(Vec::new(), |other| other.mutator_bytes().to_vec());
        let changed = change(input.mutator_bytes(), &other, state.rand_mut());
        input.resize(changed.len(), 0);
        input.mutator_bytes_mut().copy_from_slice(&changed);
        Ok(MutationResult::Mutated)
    }

    fn post_exec(
        &mut self,
        _state: &mut S,
        _new: Option<CorpusId>,
    ) -> std::result::Result<(), libafl::Error> {
        Ok(())
    }
}

fn change(input: &[u8], other: &[u8], random: &mut impl Rand) -> Vec<u8> {
    let mut items: Vec<&[u8]> = input.chunks_exact(ITEM).collect();
    let count = items.len();
    let at = random.below_or_zero(count);
    let new = random.next().to_ne_bytes();
    match random.below_or_zero(5) {
        _ if count == 0 => items.push(&new),
        0 => items.insert(at, &new),
        1 if count > 1 => {
            items.remove(at);
        }
        2 => items.insert(at, items[random.below_or_zero(count)]),
        3 => items.swap(at, random.below_or_zero(count)),
        _ => {
            let others = other.chunks_exact(ITEM);
            let skipped = random.below_or_zero(others.len());
            let taken = 1 + random.below_or_zero(4);
            for item in others.skip(skipped).take(taken) {
                items.insert(at, item);
            }
        }
    }
    items.truncate(MOST);
    items.concat()
}

/// Fuzzes until `report` has enough. `seeds` are tried first; returns the inputs that have reached
/// something new.
pub(crate) fn fuzz(
    target: &mut Target,
    seeds: Vec<Vec<u8>>,
    seed: u64,
    report: &mut Report<'_>,
) -> Result<Vec<Vec<u8>>> {
    let map = StdMapObserver::owned("blocks", vec![0_u8; MAP]);
    let observer = HitcountsMapObserver::new(map);
    let mut feedback = MaxMapFeedback::new(&observer);
    let mut objective = CrashFeedback::new();
    let failed = |error: libafl::Error| lab::Error::Unmet(format!("the engine failed: {error}"));
    let mut state = StdState::new(
        StdRand::with_seed(seed),
        InMemoryCorpus::<BytesInput>::new(),
        InMemoryCorpus::new(),
        &mut feedback,
        &mut objective,
    )
    .map_err(failed)?;
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), feedback, objective);
    let mut manager = SimpleEventManager::new(NopMonitor::new());
    let mutations = tuple_list!(
        Items,
        Items,
        Items,
        BitFlipMutator::new(),
        ByteFlipMutator::new(),
        ByteIncMutator::new(),
        ByteDecMutator::new(),
        ByteNegMutator::new(),
        ByteRandMutator::new(),
        ByteAddMutator::new(),
        WordAddMutator::new(),
        DwordAddMutator::new(),
        ByteInterestingMutator::new(),
        WordInterestingMutator::new(),
        DwordInterestingMutator::new(),
    );
    let mutator = StdScheduledMutator::with_max_stack_pow(mutations, STACKED);
    let mut stages = tuple_list!(StdMutationalStage::with_max_iterations(mutator, MUTATIONS));
    let mut guest = Guest {
        target,
        observers: tuple_list!(observer),
        before: VecDeque::new(),
        report,
        enough: false,
        failure: None,
    };
    let go = || {
        for seed in seeds {
            if !guest.enough {
                let seed = BytesInput::new(seed);
                fuzzer.evaluate_input(&mut state, &mut guest, &mut manager, &seed)?;
            }
        }
        while !guest.enough {
            fuzzer.fuzz_one(&mut stages, &mut guest, &mut state, &mut manager)?;
        }
        Ok(())
    };
    let ended = go();
    if let Some(error) = guest.failure.take() {
        return Err(error);
    }
    ended.map_err(failed)?;
    let corpus = state.corpus();
    let kept = corpus.ids().filter_map(|id| {
        let case = corpus.get(id).ok()?;
        let input = case.borrow().input().clone()?;
        Some(input.mutator_bytes().to_vec())
    });
    Ok(kept.collect())
}

/// Tries random inputs, blind to what they reach.
pub(crate) fn fuzz_blindly(target: &mut Target, seed: u64, report: &mut Report<'_>) -> Result<()> {
    let mut random = StdRand::with_seed(seed);
    let mut map = vec![0; MAP];
    let mut before = Vec::new();
    loop {
        let mut input = Vec::new();
        for _ in 0..=random.below_or_zero(MOST) {
            input.extend_from_slice(&random.next().to_ne_bytes());
        }
        let outcome = target.execute(&input, &mut map)?;
        if !report(target, &before, &input, &outcome) {
            return Ok(());
        }
        if before.len() == BEFORE {
            before.remove(0);
        }
        before.push(input);
        if matches!(outcome, Outcome::Found(_)) {
            before.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_items_whole() {
        let mut random = StdRand::with_seed(1);
        let mut input = Vec::new();
        let other: Vec<u8> = (0..80).collect();
        let mut longest = 0;
        for _ in 0..1000 {
            input = change(&input, &other, &mut random);
            assert_eq!(input.len() % ITEM, 0);
            assert!(!input.is_empty());
            longest = longest.max(input.len());
        }
        assert_eq!(longest, ITEM * MOST);
    }
}
