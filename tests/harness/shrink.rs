//! A failing case becomes small: first what may happen in it, then what does. The same case ends as the same small one.

use crate::scenarios::Scenario;
use crate::walk::{Failure, Step, again, walk};

/// So many seeds are tried with a smaller scenario.
const TRIES: u64 = 300;

/// A small failing case.
#[derive(Clone, Debug)]
pub struct Small {
    /// What may happen.
    pub scenario: Scenario,
    /// The walk whose steps these are.
    pub seed: u64,
    /// Which of them, by number.
    pub kept: Vec<usize>,
    /// How it fails.
    pub failure: Box<Failure>,
}

/// Makes a failing case small. The broken promise stays the same one.
pub fn shrink(scenario: &Scenario, failure: &Failure) -> Option<Small> {
    let oracle = failure.broken.oracle();
    let fails = |scenario: &Scenario, first: u64, tries: u64| {
        let mut failures = (first..first.saturating_add(tries)).filter_map(|seed| walk(scenario, seed, false).err());
        failures.find(|failure| failure.broken.oracle() == oracle)
    };
    let mut scenario = scenario.clone();
    let mut failure = fails(&scenario, failure.seed, 1)?;
    while let Some((smaller, found)) =
        smaller(&scenario).into_iter().find_map(|small| Some((small.clone(), fails(&small, failure.seed, TRIES)?)))
    {
        (scenario, failure) = (smaller, found);
    }
    let seed = failure.seed;
    let steps = std::mem::take(&mut failure.steps);
    let fails = |kept: &[usize]| {
        let failure = again(&scenario, seed, &pick(&steps, kept), false).err();
        failure.filter(|failure| failure.broken.oracle() == oracle)
    };
    let mut kept: Vec<usize> = (0..steps.len()).collect();
    let mut part = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let fewer: Vec<usize> = kept
                .iter()
                .enumerate()
                .filter(|(place, _)| *place < at || *place >= at + part)
                .map(|(_, k)| *k)
                .collect();
            if fails(&fewer).is_some() { kept = fewer } else { at += part }
        }
        if part == 1 {
            break;
        }
        part = part.div_ceil(2);
    }
    let failure = fails(&kept).or_else(|| walk(&scenario, seed, false).err())?;
    Some(Small { scenario, seed, kept, failure })
}

/// The steps of these numbers.
pub fn pick(steps: &[Step], kept: &[usize]) -> Vec<Step> {
    kept.iter().filter_map(|number| steps.get(*number)).copied().collect()
}

/// The same with one thing less, the greatest first.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = vec![];
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        if smaller.settings() != scenario.settings() {
            found.push(smaller);
        }
    };
    with(&|s| s.budget.clone_appends = None);
    with(&|s| s.streams.truncate(1));
    with(&|s| s.dependents = false);
    let devices = scenario.budget.appends.len();
    for device in (1..devices).rev() {
        with(&|s| {
            s.budget.appends.remove(device);
        });
    }
    let kinds = scenario.clone().budget.faults().len();
    for less in [|_| 0, |n| n / 2, |n: usize| n.saturating_sub(1)] {
        for kind in 0..kinds {
            with(&|s| {
                let faults = s.budget.faults();
                *faults[kind].1 = less(*faults[kind].1);
            });
        }
        for device in 0..devices {
            with(&|s| s.budget.appends[device] = less(s.budget.appends[device]));
        }
        with(&|s| s.budget.clone_appends = s.budget.clone_appends.map(less));
    }
    found
}

impl Small {
    /// The command that shows its whole trace.
    pub fn command(&self) -> String {
        format!("{} --keep {}", self.failure.command(&self.scenario), ranges(&self.kept))
    }
}

/// `0-2,7`
pub fn ranges(numbers: &[usize]) -> String {
    let mut text = vec![];
    let mut rest = numbers;
    while let [first, ..] = rest {
        let run = rest.iter().zip(*first..).take_while(|(number, expected)| *number == expected).count();
        text.push(if run > 1 { format!("{first}-{}", first + run - 1) } else { first.to_string() });
        rest = &rest[run..];
    }
    text.join(",")
}

/// The numbers of `0-2,7`.
///
/// # Errors
/// What is wrong with it.
pub fn numbers(text: &str) -> Result<Vec<usize>, String> {
    let mut numbers = vec![];
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{part}` is no range of numbers"));
        numbers.extend(number(first)?..=number(last)?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_written() {
        for list in [vec![], vec![4], vec![0, 1, 2, 7, 9, 10]] {
            assert_eq!(numbers(&ranges(&list)), Ok(list));
        }
        assert_eq!(ranges(&[0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
        assert!(numbers("1-x").is_err());
    }
}
