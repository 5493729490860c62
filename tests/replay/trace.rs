//! Editing traces: JSON, gzipped or not, sequential or concurrent.

use serde::Deserialize;
use std::io::Read;
use std::path::Path;

/// A recorded history of one text. Positions and lengths count characters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The text before the first transaction.
    #[serde(default)]
    pub start_content: String,
    /// The text behind the last.
    pub end_content: String,
    /// How many agents wrote; 1 if it does not say.
    #[serde(default = "one")]
    pub num_agents: usize,
    /// In an order in which parents come first.
    pub txns: Vec<Transaction>,
}

/// One edit.
#[derive(Deserialize)]
pub struct Transaction {
    /// Indexes of the transactions that its author had seen. Sequential traces have none: the one before.
    pub parents: Option<Vec<usize>>,
    /// Who.
    #[serde(default)]
    pub agent: usize,
    /// Position, characters deleted there, text inserted there; one after the other.
    pub patches: Vec<(usize, usize, String)>,
}

fn one() -> usize {
    1
}

impl Trace {
    /// Reads a file, and of it the first `transactions`.
    pub fn read(path: &Path, transactions: Option<usize>) -> Result<Trace, Box<dyn std::error::Error>> {
        let bytes = std::fs::read(path)?;
        let mut json = vec![];
        match path.extension().is_some_and(|e| e == "gz") {
            true => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut json)?),
            false => json = bytes,
        }
        let mut trace: Trace = serde_json::from_slice(&json)?;
        for (index, txn) in trace.txns.iter_mut().enumerate() {
            txn.parents.get_or_insert_with(|| index.checked_sub(1).into_iter().collect());
        }
        if let Some(n) = transactions.filter(|n| *n < trace.txns.len()) {
            trace.cut(n)?;
        }
        Ok(trace)
    }

    /// Keeps the first `n` transactions of a sequential trace.
    fn cut(&mut self, n: usize) -> Result<(), String> {
        if self.num_agents > 1 {
            return Err(
                "only a sequential trace can be cut short: where a concurrent one would end, nobody wrote down".into(),
            );
        }
        self.txns.truncate(n);
        let mut text: Vec<char> = self.start_content.chars().collect();
        for (at, deleted, inserted) in self.txns.iter().flat_map(|txn| &txn.patches) {
            text.splice(at..&(at + deleted), inserted.chars());
        }
        self.end_content = text.into_iter().collect();
        Ok(())
    }
}
