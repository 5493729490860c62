//! The smallest edit from one string to another (Myers, "An O(ND) Difference Algorithm", 1986), in characters.

use crate::limits::TEXT_DISTANCE_MAX;
use crate::patch::width;

/// One edit, on the text that the edits before it left. `index` and `delete` in UTF-16 units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextEdit {
    pub(crate) index: usize,
    pub(crate) delete: usize,
    pub(crate) insert: String,
}

/// The edits that make `after` of `before`.
pub(crate) fn text_edits(before: &str, after: &str) -> Vec<TextEdit> {
    let prefix: usize = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let (old, new) = (&before[prefix..], &after[prefix..]);
    let suffix: usize =
        old.chars().rev().zip(new.chars().rev()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    if old.is_empty() && new.is_empty() {
        return Vec::new();
    }
    let start = width(&before[..prefix]);
    let (from, to): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let whole = || vec![TextEdit { index: start, delete: width(old), insert: new.to_owned() }];
    if from.is_empty() || to.is_empty() { whole() } else { shortest(&from, &to, start).unwrap_or_else(whole) }
}

/// The greedy search: after `d` single edits, how far along each diagonal one gets. `None` beyond the limit.
fn shortest(from: &[char], to: &[char], start: usize) -> Option<Vec<TextEdit>> {
    let limit = (from.len() + to.len()).min(TEXT_DISTANCE_MAX);
    // The furthest x on diagonal k stands at `limit + k`; one spare place on each side.
    let middle = limit + 1;
    let mut furthest = vec![0usize; 2 * middle + 1];
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for d in 0..=limit {
        steps.push(furthest.clone());
        for diagonal in (middle - d..=middle + d).step_by(2) {
            let mut x = from_neighbour(&furthest, diagonal, middle, d).1;
            while let Some(y) =
                y_of(x, diagonal, middle).filter(|y| x < from.len() && *y < to.len() && from[x] == to[*y])
            {
                debug_assert!(y < to.len());
                x += 1;
            }
            furthest[diagonal] = x;
            if x >= from.len() && y_of(x, diagonal, middle).is_some_and(|y| y >= to.len()) {
                return Some(edits(&steps, from, to, start, middle));
            }
        }
    }
    None
}

/// Where a step to `diagonal` starts: the diagonal it comes from and the x after it (an insertion keeps x).
fn from_neighbour(furthest: &[usize], diagonal: usize, middle: usize, d: usize) -> (usize, usize) {
    let inserts =
        d == 0 || diagonal == middle - d || (diagonal != middle + d && furthest[diagonal - 1] < furthest[diagonal + 1]);
    match (d, inserts) {
        (0, _) => (diagonal, 0),
        (_, true) => (diagonal + 1, furthest[diagonal + 1]),
        (_, false) => (diagonal - 1, furthest[diagonal - 1] + 1),
    }
}

fn y_of(x: usize, diagonal: usize, middle: usize) -> Option<usize> {
    (x + middle).checked_sub(diagonal)
}

/// Walks the search back from its end and joins neighbouring single edits.
fn edits(steps: &[Vec<usize>], from: &[char], to: &[char], start: usize, middle: usize) -> Vec<TextEdit> {
    // Ranges (x from..to deleted, y from..to inserted), last first.
    let mut ranges: Vec<(usize, usize, usize, usize)> = Vec::new();
    let (mut x, mut y) = (from.len(), to.len());
    for d in (1..steps.len()).rev() {
        let (neighbour, _) = from_neighbour(&steps[d], x + middle - y, middle, d);
        let before_x = steps[d][neighbour];
        let before_y = before_x + middle - neighbour;
        // Back along what is equal, to right behind the single edit.
        let inserted = neighbour == x + middle - y + 1;
        let (end_x, end_y) = if inserted { (before_x, before_y + 1) } else { (before_x + 1, before_y) };
        match ranges.last_mut() {
            Some(last) if last.0 == end_x && last.2 == end_y => (last.0, last.2) = (before_x, before_y),
            _ => ranges.push((before_x, end_x, before_y, end_y)),
        }
        (x, y) = (before_x, before_y);
    }
    let units = |chars: &[char]| chars.iter().map(|c| c.len_utf16()).sum::<usize>();
    ranges.reverse();
    // Indexes count on the text that the earlier edits left, whose part before this edit equals `to`'s.
    let edit = |(x, end_x, y, end_y): (usize, usize, usize, usize)| TextEdit {
        index: start + units(&to[..y]),
        delete: units(&from[x..end_x]),
        insert: to[y..end_y].iter().collect(),
    };
    ranges.into_iter().map(edit).collect()
}

#[cfg(test)]
mod tests {
    use super::text_edits;

    fn applied(before: &str, after: &str) -> (String, usize) {
        let mut units: Vec<u16> = before.encode_utf16().collect();
        let mut size = 0;
        for edit in text_edits(before, after) {
            size += edit.delete + edit.insert.encode_utf16().count();
            units.splice(edit.index..edit.index + edit.delete, edit.insert.encode_utf16());
        }
        (String::from_utf16(&units).expect("cuts lie between characters"), size)
    }

    #[test]
    fn the_smallest_edit_leads_to_the_text() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "xbz", 4),
            ("abcabba", "cbabac", 5),
            ("the cat sat", "the dog sat", 6),
            ("a😀b", "a😁b", 4),
            ("😀", "😀😀", 2),
            ("one two three", "one three", 4),
        ];
        for (before, after, size) in cases {
            assert_eq!(applied(before, after), (after.to_owned(), size), "{before:?} to {after:?}");
        }
    }

    #[test]
    fn random_and_very_different_texts_come_out_right() {
        let mut seed = 7u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        for round in 0..600 {
            let mut word = |length: u64| -> String {
                (0..next(length + 1)).map(|_| ['a', 'b', 'é', '😀', '\n'][next(5) as usize]).collect()
            };
            let (before, after) = if round < 590 { (word(40), word(40)) } else { (word(900), word(900)) };
            assert_eq!(applied(&before, &after).0, after);
        }
    }
}
