//! The breadth-first checker (`stateright`): every reachable state of a scenario, or as many as there is time for.

mod causes;
mod hosts;
mod walks;

use crate::props::{PROMISES, explain};
use crate::relay;
use crate::rules::{ALL, Mutation};
use crate::scenarios::scenarios;
use crate::world::{Action, Model, World, progress, step, work};
use causes::{Causes, Dropped};
use hosts::{Hosts, Rule};
use stateright::{Checker, HasDiscoveries, Property};
use std::time::{Duration, Instant};

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, w: &World, out: &mut Vec<Action>) {
        progress(self, w, out);
        work(self, w, out);
        for (d, dev) in w.devices.iter().enumerate().filter(|(_, dev)| dev.used) {
            if let Some(link) = &dev.link {
                if link.up.first().is_some_and(|msg| relay::may_refuse(self, w, msg)) {
                    out.push(Action::RelayRefuses(d));
                }
                if w.cuts_left > 0 {
                    out.push(Action::Cut(d));
                    if !link.up.is_empty() || self.slow_batches {
                        out.push(Action::Abandon(d));
                    }
                }
            }
            if !dev.old_down.is_empty() && dev.link.is_some() {
                out.push(Action::DeviceReadsOld(d));
            }
            if dev.old_up.first().is_some_and(|msg| relay::may_refuse(self, w, msg)) {
                out.push(Action::RelayRefusesOld(d));
            }
        }
    }

    fn next_state(&self, w: &World, action: Action) -> Option<World> {
        let mut next = w.clone();
        step(self, &mut next, action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        PROMISES.iter().map(|(name, holds)| Property::always(name, *holds)).collect()
    }
}

struct Outcome {
    unique: usize,
    depth: usize,
    found: Vec<(String, Vec<String>)>,
    seconds: f32,
    complete: bool,
}

/// The two small models beside the main one: each with its rule, and with the rule dropped.
fn side_models(limit: Duration) {
    for rule in [Rule::InTransaction, Rule::Before, Rule::Never, Rule::SentUnmarked] {
        println!("hosts, {rule:?}");
        print(&explore(Hosts { rule, starts: 3, births: 3, remote: 2 }, limit, usize::MAX, |_| String::new()));
    }
    for (dropped, restore_one) in
        [Dropped::Nothing, Dropped::Hold, Dropped::OwnWaiting, Dropped::HealInOrder, Dropped::Rewrite]
            .map(|d| (d, false))
            .into_iter()
            .chain([(Dropped::Nothing, true), (Dropped::Clamp, true), (Dropped::Release, true)])
    {
        println!("causes, dropped: {dropped:?}, one stream may be restored alone: {restore_one}");
        print(&explore(Causes { writes: vec![2, 2, 0], restore_one, dropped }, limit, usize::MAX, |_| String::new()));
    }
}

fn explore<M>(model: M, limit: Duration, max: usize, explain: impl Fn(&M::State) -> String) -> Outcome
where
    M: stateright::Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Send + Sync + Clone + PartialEq,
    M::Action: std::fmt::Debug + Clone + PartialEq + Send + Sync,
{
    let start = Instant::now();
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.timeout(limit).target_state_count(max).spawn_bfs().join();
    let found = checker.discoveries().into_iter().map(|(name, path)| {
        let why = explain(path.last_state());
        let mut steps: Vec<String> = path.into_actions().iter().map(|a| format!("{a:?}")).collect();
        if !why.is_empty() {
            steps.push(format!("\n    -> {why}"));
        }
        (name.to_string(), steps)
    });
    let found: Vec<_> = found.collect();
    let took = start.elapsed();
    let complete = found.is_empty() && took < limit && checker.state_count() < max;
    Outcome {
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        found,
        seconds: took.as_secs_f32(),
        complete,
    }
}

/// What the command line asks for: a scenario, `all`, `mutants`, `mutant NAME` or `side`, and for how many seconds; `walk
/// NAME SECONDS SEED` for random walks of a scenario, `without RULE SECONDS` for those with a rule dropped.
pub fn run(args: &[String]) {
    let secs = |i: usize, or: u64| Duration::from_secs(args.get(i).and_then(|a| a.parse().ok()).unwrap_or(or));
    match args.first().map(String::as_str) {
        Some("mutant") => {
            let (m, ..) = ALL.iter().find(|(m, ..)| format!("{m:?}") == args[1]).expect("no such rule");
            mutant(*m, secs(2, 60), true);
        }
        Some("walk") => {
            let seed = args.get(3).and_then(|a| a.parse().ok()).unwrap_or(0);
            named(args.get(1).map_or("all", String::as_str)).for_each(|model| walks::walks(&model, secs(2, 60), seed));
        }
        Some("without") => {
            let rule = args.get(1).map_or("", String::as_str);
            let (rule, _, hints, text) = ALL.iter().find(|(m, ..)| format!("{m:?}") == rule).expect("no such rule");
            println!("{rule:?}: {text}");
            for model in scenarios().into_iter().filter(|s| hints.split(' ').any(|h| h == s.name)) {
                walks::walks(&Model { dropped: Some(*rule), ..model }, secs(2, 60), 0);
            }
        }
        Some("side") => side_models(secs(1, 120)),
        Some("mutants") => {
            ALL.iter().for_each(|(m, ..)| mutant(*m, secs(1, 60), args.last().is_some_and(|a| a == "everywhere")))
        }
        Some(name) => {
            for model in named(name) {
                let twin = model.clone();
                let out = explore(model, secs(1, 600), 200_000_000, |w| explain(&twin, w));
                print(&out);
            }
        }
        None => println!("scenario | all | walk NAME | without RULE | mutant NAME | mutants | side"),
    }
}

/// The scenarios that are asked for, each printed when its turn comes.
fn named(name: &str) -> impl Iterator<Item = Model> {
    let is_asked = move |model: &Model| name == "all" || model.name == name;
    scenarios().into_iter().filter(is_asked).inspect(|model| println!("{}: {} {model:?}", model.name, model.about))
}

fn print(out: &Outcome) {
    println!(
        "  {} states, depth {}, {:.0} s, {}",
        out.unique,
        out.depth,
        out.seconds,
        if out.complete { "complete" } else { "not complete" }
    );
    for (name, steps) in &out.found {
        println!("  BROKEN {name}\n    {}", steps.join(" "));
    }
}

/// `everywhere`: also in the scenarios where it is not expected to show.
fn mutant(mutation: Mutation, limit: Duration, everywhere: bool) {
    let (_, rule, hints, text) = ALL.iter().find(|(m, ..)| *m == mutation).expect("listed");
    println!("{mutation:?} ({rule}): {text}");
    // The scenarios where it is expected to show, then the others.
    let (first, rest): (Vec<_>, Vec<_>) = scenarios().into_iter().partition(|s| hints.split(' ').any(|h| h == s.name));
    for model in first.into_iter().chain(rest.into_iter().filter(|_| everywhere)) {
        let name = model.name;
        let model = Model { dropped: Some(mutation), ..model };
        let twin = model.clone();
        let out = explore(model, limit, 50_000_000, |w| explain(&twin, w));
        if let Some((property, steps)) = out.found.first() {
            println!(
                "  caught in `{name}` ({} states, depth {}): {property}\n    {}",
                out.unique,
                out.depth,
                steps.join(" ")
            );
            return;
        }
    }
    println!("  NOT CAUGHT");
}
