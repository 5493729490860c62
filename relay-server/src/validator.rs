//! Rules that say which events may enter which streams, read from a JSON file. A real deployment brings its own
//! [`Validator`]; rules are enough for the demo, for tests and for simple limits.
//!
//! ```json
//! {
//!   "rules": [
//!     { "streams": "comments", "types": ["added", "removed"], "code": "unknown-type" },
//!     { "streams": "comments", "words": ["spam"], "code": "not-nice", "reason": "Please say it without that word." }
//!   ]
//! }
//! ```
//!
//! Each rule speaks of the stream `streams` and of those below it (`comments/7`); an empty text means all. The first
//! rule that an event breaks refuses it. `types`: an application event's `type` must be one of these, and other kinds of
//! events are refused. `words`: no text inside an application event's `payload` may hold one of these, as a whole word,
//! in any case of letters.

use serde::Deserialize;
use std::path::Path;
use sync_core::event::{Content, Kind};
use sync_core::ids::StreamName;
use sync_core::relay::{Reason, Validator};

/// The rules of a file, in its order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    streams: String,
    #[serde(default)]
    types: Option<Vec<String>>,
    #[serde(default)]
    words: Vec<String>,
    code: String,
    #[serde(default)]
    reason: String,
}

/// Why a rules file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It cannot be read.
    #[error("cannot read the rules: {0}")]
    Read(#[from] std::io::Error),
    /// It is not what the documentation says.
    #[error("cannot understand the rules: {0}")]
    Parse(#[from] serde_json::Error),
}

impl Rules {
    /// Reads a rules file.
    pub fn load(path: &Path) -> Result<Rules, RulesError> {
        Rules::parse(&std::fs::read_to_string(path)?)
    }
    /// Understands the text of a rules file.
    pub fn parse(json: &str) -> Result<Rules, RulesError> {
        let mut rules: Rules = serde_json::from_str(json)?;
        rules.rules.iter_mut().flat_map(|rule| &mut rule.words).for_each(|word| *word = word.to_lowercase());
        Ok(rules)
    }
}

impl Validator for Rules {
    fn validate(&self, _: Option<&str>, stream: &StreamName, content: &Content) -> Result<(), Reason> {
        let mut rules = self.rules.iter().filter(|rule| rule.speaks_of(stream)).peekable();
        if rules.peek().is_none() {
            return Ok(());
        }
        let event = ApplicationEvent::of(content);
        match rules.find(|rule| rule.is_broken_by(event.as_ref())) {
            Some(Rule { code, reason, .. }) => Err(Reason { code: code.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }
}

/// What a rule can see of an event.
#[derive(Deserialize)]
struct ApplicationEvent {
    r#type: String,
    #[serde(default)]
    payload: serde_json::Value,
}

impl ApplicationEvent {
    /// `None`: it is something else, or not what its kind says.
    fn of(content: &Content) -> Option<ApplicationEvent> {
        (content.kind == Kind::Application).then(|| serde_json::from_slice(&content.payload).ok())?
    }
}

impl Rule {
    fn speaks_of(&self, stream: &StreamName) -> bool {
        let Some(rest) = stream.as_str().strip_prefix(self.streams.as_str()) else { return false };
        rest.is_empty() || self.streams.is_empty() || rest.starts_with('/')
    }
    fn is_broken_by(&self, event: Option<&ApplicationEvent>) -> bool {
        let type_is_wrong = self.types.as_ref().is_some_and(|types| match event {
            Some(event) => !types.contains(&event.r#type),
            None => true,
        });
        type_is_wrong || event.is_some_and(|event| !self.words.is_empty() && self.is_said_in(&event.payload))
    }
    /// The depth is bounded: serde_json reads no more than 128 levels.
    fn is_said_in(&self, value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => {
                let text = text.to_lowercase();
                text.split(|c: char| !c.is_alphanumeric()).any(|word| self.words.iter().any(|w| w == word))
            }
            serde_json::Value::Array(values) => values.iter().any(|value| self.is_said_in(value)),
            serde_json::Value::Object(fields) => fields.values().any(|value| self.is_said_in(value)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"{ "rules": [
        { "streams": "comments", "types": ["added"], "code": "unknown-type" },
        { "streams": "comments", "words": ["Spam"], "code": "not-nice", "reason": "Please." },
        { "streams": "", "words": ["never"], "code": "nowhere" }
    ] }"#;

    fn code(stream: &str, kind: Kind, payload: &str) -> Option<String> {
        let rules = Rules::parse(RULES).expect("rules");
        let content = Content { kind, time: 0, payload: payload.to_string().into() };
        rules.validate(None, &StreamName::new(stream).expect("a name"), &content).err().map(|reason| reason.code)
    }

    #[test]
    fn the_first_broken_rule_refuses() {
        let said = |text: &str| format!(r#"{{"type":"added","payload":{{"deep":[{{"text":"{text}"}}]}}}}"#);
        let comment = |text: &str| code("comments/7", Kind::Application, &said(text));
        assert_eq!(comment("hello"), None);
        assert_eq!(comment("SPAM, really"), Some("not-nice".into()));
        assert_eq!(comment("spammer"), None, "whole words only");
        assert_eq!(comment("never"), Some("nowhere".into()));
        assert_eq!(code("comments", Kind::Application, r#"{"type":"other"}"#), Some("unknown-type".into()));
        assert_eq!(code("comments", Kind::Application, "not json"), Some("unknown-type".into()));
        assert_eq!(code("comments", Kind::Change, "spam"), Some("unknown-type".into()));
        assert_eq!(code("commentsandmore", Kind::Application, &said("spam")), None, "another stream");
        assert_eq!(code("notes", Kind::Change, "never"), None, "documents are not read");
    }

    #[test]
    fn a_file_that_says_anything_else_is_an_error() {
        assert!(Rules::parse(r#"{ "rules": [ { "streams": "a", "word": ["x"], "code": "c" } ] }"#).is_err());
        assert!(Rules::parse("[]").is_err());
    }
}
