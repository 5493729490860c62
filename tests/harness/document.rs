//! Real Automerge documents as payloads: what a page of the product does with its stream's log, and the same log read by
//! plain Automerge.

use crate::birth::{Birth, births_in};
use crate::rng::Rng;
use std::collections::BTreeMap;
use sync_document::automerge::{AutoCommit, AutomergeError, ChangeHash, ObjType, Prop, ROOT, TextEncoding};
use sync_document::{Document, NewValue, Opening, Operation, Target};

/// An Automerge change.
pub type Change = Vec<u8>;

const MARK: &[u8] = b"\"changes\":\"";
/// Few keys, so that devices write the same ones.
const KEYS: u64 = 4;
const TEXT: &str = "text";

/// The application's bytes of a birth that carries changes.
pub fn payload(birth: Birth, changes: &[Change]) -> Vec<u8> {
    let hex = |change: &Change| change.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let changes: Vec<String> = changes.iter().map(hex).collect();
    format!("{{\"type\":\"birth\",\"payload\":{birth},\"changes\":\"{}\"}}", changes.join(",")).into_bytes()
}

/// All changes in bytes of any format that keeps contents as they are, in order.
pub fn changes_in(bytes: &[u8]) -> Vec<Change> {
    let mut changes = vec![];
    let mut rest = bytes;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = &rest[at + MARK.len()..];
        let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        changes.extend(rest[..end].split(|byte| *byte == b',').map(bytes_of));
    }
    changes
}

fn bytes_of(hex: &[u8]) -> Change {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("the world's own hexadecimals") as u8;
    hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What each birth carries, in bytes that hold such payloads one behind another.
pub fn carried_in(bytes: &[u8]) -> BTreeMap<Birth, Vec<Change>> {
    let mut carried = BTreeMap::new();
    for one in bytes.split_inclusive(|byte| *byte == b'}') {
        if let (Some(birth), changes @ [_, ..]) = (births_in(one).first(), &changes_in(one)[..]) {
            carried.insert(*birth, changes.to_vec());
        }
    }
    carried
}

/// A document as a page keeps it.
#[derive(Debug)]
pub struct Page(Document);

impl Page {
    /// What the log and then the device's own waiting events make. `actor`: nobody else's.
    pub fn open(actor: [u8; 16], log: &[Change], own: &[Change]) -> Page {
        let payloads = log.iter().chain(own).map(Vec::as_slice).collect();
        let opening = Opening { actor, payloads, pending: own.len(), ..Opening::default() };
        let (document, _) = Document::open(&opening).expect("changes that documents have made");
        Page(document)
    }
    /// The log has brought these.
    pub fn apply(&mut self, changes: &[Change]) {
        let payloads: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        self.0.apply(&payloads).expect("changes that documents have made");
    }
    /// Its user writes something.
    pub fn edit(&mut self, rng: &mut Rng) -> Vec<Change> {
        let text = self.0.find(&[Prop::from(TEXT)]).filter(|(_, kind)| *kind == ObjType::Text);
        let operation = match text {
            Some((text, _)) if rng.percent(70) => {
                let len = self.0.text(&text).map_or(0, |text| text.encode_utf16().count());
                let at = rng.below(len as u64 + 1) as usize;
                let deleted = rng.below((len - at) as u64 + 1).min(3) as usize;
                Operation::Splice(Target::Object(text), at, deleted, "tide".into())
            }
            None if rng.percent(50) => {
                Operation::Put(Target::Object(ROOT), Prop::from(TEXT), NewValue::Text("sea".into()))
            }
            _ => {
                let key = format!("key {}", rng.below(KEYS));
                // Another one than is there: the same would be no change.
                let value = NewValue::Scalar((rng.below(1 << 48) as i64).into());
                Operation::Put(Target::Object(ROOT), Prop::from(key), value)
            }
        };
        self.0.record(vec![operation]).expect("it is about what is there");
        let commit = self.0.commit(0, None).expect("there is room for a change").expect("something was recorded");
        commit.first.into_iter().chain([commit.change]).map(|change| change.bytes).collect()
    }
    /// How it differs from what plain Automerge makes of a log, and a page that opens it now.
    pub fn difference(&mut self, log: &[Change]) -> Option<String> {
        // Every document begins with the same first change, whether or not the log has it yet.
        let first = Page::open(ANEW, &[], &[]).0.export();
        let (mut own, mut plain) =
            match (automerge_of([&self.0.export()]), automerge_of([&first].into_iter().chain(log))) {
                (Ok(own), Ok(plain)) => (own, plain),
                (own, plain) => return Some(format!("plain Automerge reads {:?} and {:?}", own.err(), plain.err())),
            };
        let (heads, of_log) = (sorted(self.0.heads()), sorted(plain.get_heads()));
        if heads != of_log {
            return Some(format!("its heads are {heads:?}, those of the log {of_log:?}"));
        }
        let (value, of_log) = (own.document().hydrate(None), plain.document().hydrate(None));
        if value != of_log {
            return Some(format!("it holds {value:?}, the log {of_log:?}"));
        }
        let (shown, anew) = (self.0.value(), Page::open(ANEW, log, &[]).0.value());
        (shown != anew).then(|| format!("it shows {shown:?}, the log {anew:?}"))
    }
}

/// An actor that writes nothing.
const ANEW: [u8; 16] = [0xFF; 16];

fn automerge_of<'c>(chunks: impl IntoIterator<Item = &'c Change>) -> Result<AutoCommit, AutomergeError> {
    let mut plain = AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit);
    chunks.into_iter().try_for_each(|chunk| plain.load_incremental(chunk).map(drop))?;
    Ok(plain)
}

fn sorted(mut heads: Vec<ChangeHash>) -> Vec<ChangeHash> {
    heads.sort_unstable();
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_found_in_bytes_of_any_format() {
        let (one, two) = (payload(7, &[vec![0xAB, 1], vec![2]]), payload(8, &[vec![3]]));
        let bytes = [&[0xFF][..], &one, &crate::birth::payload(9, 2), &two, &[0x80]].concat();
        assert_eq!(changes_in(&bytes), [vec![0xAB, 1], vec![2], vec![3]]);
        let carried = carried_in(&bytes);
        assert_eq!(carried.into_iter().collect::<Vec<_>>(), [(7, vec![vec![0xAB, 1], vec![2]]), (8, vec![vec![3]])]);
    }

    /// An oracle that finds everything equal would prove nothing.
    #[test]
    fn a_page_that_lacks_a_change_differs() {
        let mut rng = Rng::new(1);
        let mut page = Page::open([1; 16], &[], &[]);
        let log: Vec<Change> = (0..5).flat_map(|_| page.edit(&mut rng)).collect();
        assert_eq!(page.difference(&log), None);
        assert_eq!(Page::open([2; 16], &log, &[]).difference(&log), None);
        assert!(Page::open([2; 16], &log[..4], &[]).difference(&log).is_some());
    }
}
