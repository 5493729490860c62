//! What devices come for: what one writes, the others get, once and in order.

use crate::client::*;
use crate::process::*;
use sync_core::ids::*;
use sync_core::wire::*;

fn accepted(down: Down) -> Option<(Sequence, Sequence)> {
    match down {
        Down::Accepted { first, last, .. } => Some((first, last)),
        _ => None,
    }
}

/// Promise 2 and 3: accepted once it is durable, then on every other screen, live and to those who come later.
#[tokio::test]
async fn what_one_writes_the_others_get() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &[]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    let mut ben = Client::connect(&relay.address, producer(2)).await;
    let never = ben.subscribe("notes/1").await.expect("open");
    assert_eq!((never.epoch, never.head, never.resume), (Epoch::NONE, Offset::ZERO, true));
    ann.subscribe("notes/1").await.expect("open");
    let mut author = Author::new("notes/1", ann.producer);
    ann.say(author.publish(["a1", "a2"].map(content))).await;
    assert_eq!(ann.hear_until(accepted).await, Ok((1, 2)));
    let born = ben.hear().await.expect("open");
    assert!(matches!(born, Down::Subscribed(s) if s.epoch != Epoch::NONE && s.resume), "said before its first events");
    let seen = ben.read_up_to("notes/1", Offset(2)).await.expect("open");
    assert_eq!(seen.iter().map(|e| e.content.clone()).collect::<Vec<_>>(), ["a1", "a2"].map(content));
    ann.say(author.publish([content("a3")])).await;
    let live = ben.hear_until(|down| if let Down::Events(e) = down { Some((e.after, e.upto)) } else { None }).await;
    assert_eq!(live, Ok((Offset(2), Offset(3))));
    let mut late = Client::connect(&relay.address, producer(3)).await;
    let all = late.read_all("notes/1").await.expect("open");
    assert_eq!(all.iter().map(|e| e.id.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all.iter().map(|e| e.tag).collect::<Vec<_>>(), author.tags[1..]);
}

/// A refusal is real from the rules file to the message, uses its sequence up, and survives a restart.
#[tokio::test]
async fn rules_refuse_and_the_refusal_is_for_ever() {
    let folder = Folder::new();
    let rules = folder.join("rules.json");
    let text =
        r#"{ "rules": [ { "streams": "comments", "words": ["spam"], "code": "not-nice", "reason": "Please." } ] }"#;
    std::fs::write(&rules, text).expect("written");
    let flags = ["--rules", rules.to_str().expect("a path of text")];
    let relay = Relay::start(&folder, &flags);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    ann.subscribe("comments/1").await.expect("open");
    let mut author = Author::new("comments/1", ann.producer);
    ann.say(author.publish(["fine", "buy SPAM now", "also fine"].map(content))).await;
    let rejected = |down| if let Down::Rejected { refusal, .. } = down { Some(refusal) } else { None };
    let refusal = ann.hear_until(rejected).await.expect("open");
    assert_eq!((refusal.sequence, &refusal.code[..], &refusal.reason[..]), (2, "not-nice", "Please."));
    assert_eq!(ann.hear_until(accepted).await, Ok((3, 3)));
    relay.kill();
    let relay = Relay::start(&folder, &[]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    let known = ann.subscribe("comments/1").await.expect("open").known;
    assert_eq!((known.last, known.refused), (3, vec![refusal]));
    let log = ann.read_up_to("comments/1", Offset(2)).await.expect("open");
    assert_eq!(log.iter().map(|e| e.id.sequence).collect::<Vec<_>>(), [1, 3]);
}

/// A large catch-up comes in frames of bounded size, without being asked for batch by batch, and a keystroke in another
/// stream passes it.
#[tokio::test]
async fn a_keystroke_passes_a_large_catch_up() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &[]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    let (mut large, mut small) = (Author::new("large", ann.producer), Author::new("small", ann.producer));
    ann.subscribe("large").await.expect("open");
    for _ in 0..40 {
        ann.say(large.publish([content(&"x".repeat(200_000))])).await;
        ann.hear_until(accepted).await.expect("open");
    }
    ann.subscribe("small").await.expect("open");
    let mut ben = Client::connect(&relay.address, producer(2)).await;
    ben.subscribe("small").await.expect("open");
    let head = ben.subscribe("large").await.expect("open").head;
    ann.say(small.publish([content("k")])).await;
    // Nothing of the catch-up is confirmed: the window is full of it, and the keystroke comes nevertheless.
    let mut catch_up_bytes = 0;
    let keystroke = ben.hear_until(|down| match down {
        Down::Events(events) if events.stream == name("small") => Some(events.upto),
        Down::Events(events) => {
            catch_up_bytes += events.runs.iter().map(|run| run.bodies.len()).sum::<usize>() * 200_000;
            None
        }
        _ => None,
    });
    assert_eq!(keystroke.await, Ok(Offset(1)));
    assert!(catch_up_bytes <= sync_core::limits::WINDOW_BYTES, "{catch_up_bytes}");
    assert_eq!(ben.read_all("large").await.expect("open").len(), head.0 as usize);
}

/// Events that an earlier log had accepted come back under their old ids, and one device at a time brings them (R12).
#[tokio::test]
async fn a_relay_that_lost_its_disk_is_healed_in_turns() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &[]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    ann.subscribe("s").await.expect("open");
    let mut author = Author::new("s", ann.producer);
    ann.say(author.publish(["a1", "a2", "a3"].map(content))).await;
    assert_eq!(ann.hear_until(accepted).await, Ok((1, 3)));
    let old = ann.read_all("s").await.expect("open");
    relay.kill();
    std::fs::remove_dir_all(folder.join("data")).expect("removed");
    let relay = Relay::start(&folder, &[]);
    let start_again = |check| {
        let (stream, epoch, after) = (name("s"), Epoch([9; 16]), Offset(3));
        Up::Subscribe(Subscribe { stream, epoch, after, check, producer: producer(2), settled: 1, records: vec![] })
    };
    let subscribed = |down| if let Down::Subscribed(s) = down { Some((s.resume, s.turn)) } else { None };
    let mut ben = Client::connect(&relay.address, producer(2)).await;
    let mut cleo = Client::connect(&relay.address, producer(3)).await;
    ben.say(start_again(Check([1; 16]))).await;
    assert_eq!(ben.hear_until(subscribed).await, Ok((false, Turn::Go)));
    cleo.say(start_again(Check([1; 16]))).await;
    assert_eq!(cleo.hear_until(subscribed).await, Ok((false, Turn::Wait)));
    let runs = sync_core::event::Run::group(&old);
    ben.say(Up::Heal(Heal { stream: name("s"), runs, done: true })).await;
    let verdicts = |down| if let Down::Healed { verdicts, .. } = down { Some(verdicts) } else { None };
    let verdicts = ben.hear_until(verdicts).await.expect("open");
    assert!(verdicts.len() == 3 && verdicts.iter().all(|verdict| verdict.fate == HealFate::Passed));
    let turn = |down| if let Down::Turn { turn, .. } = down { Some(turn) } else { None };
    assert_eq!(cleo.hear_until(turn).await, Ok(Turn::Go), "the turn passes on when the list is done");
    let healed = Client::connect(&relay.address, producer(4)).await.read_all("s").await.expect("open");
    assert_eq!(healed, old, "ids, tags, predecessors and order are the old ones");
}

/// A device that closes in good order is answered in good order: its socket ends without an error.
#[tokio::test]
async fn a_close_is_answered() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &[]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    ann.say_frame(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    assert_eq!(ann.hear().await, Err(Closed { code: None, is_clean: true }));
}
