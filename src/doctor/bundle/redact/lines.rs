//! A log's lines. Whoever calls says what their name is, and it may be anything, a
//! line of a log too; so names are found by where they stand. Pure.

use serde_json::{Map, Value};

use super::{Kind, Redactor};

/// Fields that hold names, and those that may follow them in a line: a name goes
/// on until the last of these, which is the true one whatever the name is.
const FIELDS: &[(&str, &[&str])] = &[
    ("caller", &["session", "label", "broadcast"]),
    ("label", &["key", "id"]),
    ("key", &["seconds", "why", "reason"]),
    ("id", &["seconds", "why", "reason"]),
    ("given", &["wanted"]),
    ("wanted", &[]),
    ("old", &["name"]),
    ("name", &["ignored", "device"]),
    ("by", &[]),
    ("zone", &["seconds", "end", "hook"]),
    ("output", &[]),
];

/// What a connection's lines begin with.
const SPAN: &str = "viewer{caller=";

impl Redactor {
    /// The lines of a log, the oldest first.
    pub(crate) fn log<'a>(&mut self, lines: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        // Names that one line tells of may stand in another.
        for line in lines.clone() {
            self.line(line);
        }
        lines.map(|line| self.line(line)).collect()
    }

    fn line(&mut self, line: &str) -> String {
        if let Ok(Value::Object(fields)) = serde_json::from_str(line) {
            return Value::Object(self.fields(fields)).to_string();
        }
        let (head, line) = self.span(line);
        let first = FIELDS
            .iter()
            .filter_map(|(key, _)| Some((place_of(line, key, false)?, *key)))
            .min();
        let Some((at, key)) = first else {
            return head + &self.prose(line);
        };
        let before = self.prose(&line[..at]);
        head + &before + &self.names(key, &line[at..])
    }

    /// From the field `key` on.
    fn names(&mut self, key: &str, text: &str) -> String {
        let value = &text[key.len() + 2..];
        let followers = FIELDS
            .iter()
            .find(|(k, _)| *k == key)
            .map_or(&[][..], |f| f.1);
        let next = followers
            .iter()
            .find_map(|follower| Some((place_of(value, follower, true)?, *follower)));
        let (name, rest) = match next {
            Some((end, follower)) if FIELDS.iter().any(|(k, _)| *k == follower) => {
                (&value[..end], self.names(follower, &value[end..]))
            }
            // What is ours comes behind; another name may follow that.
            Some((end, _)) => (&value[..end], self.after(&value[end..])),
            None => (value, String::new()),
        };
        format!(" {key}={}{rest}", self.name(name))
    }

    fn after(&mut self, text: &str) -> String {
        let next = ["label", "key"]
            .iter()
            .filter_map(|key| Some((place_of(text, key, true)?, *key)))
            .min();
        match next {
            Some((at, key)) => self.prose(&text[..at]) + &self.names(key, &text[at..]),
            None => self.prose(text),
        }
    }

    /// A name in a log, which is private from here on.
    fn name(&mut self, shown: &str) -> String {
        let name = shown.trim().trim_matches('"');
        if name.is_empty() {
            return shown.to_owned();
        }
        // A letter or two would be found in anything.
        if name.chars().count() > 2 {
            self.learn(Kind::Name, name);
        }
        self.placeholder(Kind::Name, name)
    }

    /// The connection that a line is of, without its viewer's name, and the line.
    fn span<'a>(&mut self, line: &'a str) -> (String, &'a str) {
        let Some(at) = line.find(SPAN) else {
            return (String::new(), line);
        };
        let value = &line[at + SPAN.len()..];
        let end = place_of(value, "session", true);
        let Some((end, close)) = end.and_then(|end| Some((end, value[end..].find("}:")? + end)))
        else {
            // It is no connection's, or was cut off.
            let head = self.prose(&line[..at]);
            return (format!("{head}{SPAN}{}", self.name(value)), "");
        };
        let head = self.prose(&line[..at]);
        let name = self.name(&value[..end]);
        let session = self.prose(&value[end..close]);
        (
            format!("{head}{SPAN}{name}{session}}}:"),
            &value[close + 2..],
        )
    }

    /// A line in JSON.
    fn fields(&mut self, fields: Map<String, Value>) -> Map<String, Value> {
        let shown = fields.into_iter().map(|(key, value)| {
            let is_name = FIELDS.iter().any(|(k, _)| *k == key);
            let value = match value {
                Value::String(text) if is_name && key != "name" => Value::String(self.name(&text)),
                Value::String(text) if is_name && text != "viewer" => {
                    Value::String(self.name(&text))
                }
                Value::String(text) => Value::String(self.prose(&text)),
                Value::Object(fields) => Value::Object(self.fields(fields)),
                Value::Array(list) => {
                    let each = list.into_iter().filter_map(|value| match value {
                        Value::Object(fields) => Some(Value::Object(self.fields(fields))),
                        _ => None,
                    });
                    Value::Array(each.collect())
                }
                other => other,
            };
            (key, value)
        });
        shown.collect()
    }
}

/// Where " key=" stands, for the first or the `last` time.
fn place_of(text: &str, key: &str, last: bool) -> Option<usize> {
    let field = format!(" {key}=");
    let is_one = |at: &usize| key != "session" || is_session(&text[at + field.len()..]);
    let mut places = text.match_indices(&field).map(|(at, _)| at).filter(is_one);
    match last {
        true => places.last(),
        false => places.next(),
    }
}

/// A session's number, and what may stand behind one in a line of ours: a reason,
/// where no other name follows.
fn is_session(value: &str) -> bool {
    const BEHIND: &[&str] = &[" codec=", " label=", " key=", " limit=", "}:"];
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let behind = &value[digits..];
    let is_reason = behind.starts_with(" reason=") && !behind.contains(" label=");
    let is_ours = behind.is_empty() || BEHIND.iter().any(|field| behind.starts_with(field));
    digits > 0 && (is_ours || is_reason)
}
