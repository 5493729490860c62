//! Promise 7: what a machine holds because somebody else is slow is bounded. It is counted after every input of every
//! machine, against the limits of the protocol.

use sync_core::limits::*;
use sync_core::{device, relay};

/// Something worth to know of what a machine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It holds as much as it may: from here on somebody waits.
    Full(&'static str),
    /// It holds more.
    TooMuch(String),
}

/// What is counted, how much of it there may be, and from how much on somebody waits.
struct Count {
    what: &'static str,
    held: usize,
    max: usize,
    full: usize,
}

/// A message that begins within a limit may end behind it.
const UNANSWERED_MAX: usize = UNANSWERED_BYTES_MAX + MESSAGE_BYTES_MAX;
/// A relay reads on until a limit is reached, and one frame more; what it decodes to counts more than its bytes.
const RELAY_UNANSWERED_MAX: usize = UNANSWERED_BYTES_MAX + 2 * MESSAGE_BYTES_MAX;
/// A relay stops reading when the requests, which count a kilobyte each, reach the limit. Devices ask for one thing a
/// message, and none is smaller than this.
const REQUESTS_MAX: usize = UNANSWERED_BYTES_MAX / 1024 + MESSAGE_BYTES_MAX / MESSAGE_BYTES_MIN;
const MESSAGE_BYTES_MIN: usize = 32;
/// From here on a message may not find room in the window.
const WINDOW_FULL: usize = WINDOW_BYTES - MESSAGE_BYTES_MAX;
/// A window, and the answers between.
const UNAPPLIED_MAX: usize = WINDOW_BYTES + MESSAGE_BYTES_MAX;
/// What one input may make a relay send: a window, and small messages.
const SENT_AT_ONCE_MAX: usize = WINDOW_BYTES + MESSAGE_BYTES_MAX;

/// What a device holds.
pub fn of_device(queued: device::Queued) -> impl Iterator<Item = Held> {
    let device::Queued { unanswered_bytes, unapplied_bytes } = queued;
    judged([
        Count {
            what: "bytes unanswered by the relay",
            held: unanswered_bytes,
            max: UNANSWERED_MAX,
            full: UNANSWERED_BYTES_MAX,
        },
        Count { what: "bytes received and not applied", held: unapplied_bytes, max: UNAPPLIED_MAX, full: WINDOW_FULL },
    ])
}

/// What a connection of a relay holds, and what it has just sent at once.
pub fn of_relay(queued: relay::Queued, sent_bytes: usize) -> impl Iterator<Item = Held> {
    let relay::Queued { unanswered_bytes, unconfirmed_bytes, requests } = queued;
    judged([
        Count {
            what: "bytes unanswered by the store",
            held: unanswered_bytes,
            max: RELAY_UNANSWERED_MAX,
            full: UNANSWERED_BYTES_MAX,
        },
        Count { what: "bytes sent and not confirmed", held: unconfirmed_bytes, max: WINDOW_BYTES, full: WINDOW_FULL },
        Count { what: "requests to the store", held: requests, max: REQUESTS_MAX, full: usize::MAX },
        Count { what: "bytes sent at once", held: sent_bytes, max: SENT_AT_ONCE_MAX, full: usize::MAX },
    ])
}

fn judged<const N: usize>(counts: [Count; N]) -> impl Iterator<Item = Held> {
    counts.into_iter().filter_map(|Count { what, held, max, full }| {
        let too_much = (held > max).then(|| Held::TooMuch(format!("{held} {what}, where {max} are the most")));
        too_much.or((held >= full).then_some(Held::Full(what)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_limit_is_named() {
        let held = |unanswered_bytes, unapplied_bytes| device::Queued { unanswered_bytes, unapplied_bytes };
        assert_eq!(of_device(held(0, 0)).count(), 0);
        let full: Vec<Held> = of_device(held(UNANSWERED_BYTES_MAX, WINDOW_BYTES)).collect();
        assert!(matches!(full[..], [Held::Full(_), Held::Full(_)]), "{full:?}");
        let over: Vec<Held> = of_device(held(0, UNAPPLIED_MAX + 1)).collect();
        assert!(matches!(over[..], [Held::TooMuch(_)]), "{over:?}");
        let over: Vec<Held> =
            of_relay(relay::Queued { requests: REQUESTS_MAX + 1, ..relay::Queued::default() }, 0).collect();
        assert!(matches!(over[..], [Held::TooMuch(_)]), "{over:?}");
    }
}
