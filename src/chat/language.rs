//! Which language a request asks for, and what the page says in it, for what is
//! written here and not by the page's scripts: pure.
//!
//! The words are those of the page, `words-….js`: one JSON object each, for the
//! scripts as a module.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, Uri, header};
use serde_json::Value;

use super::page::ASSETS;

/// As browsers ask for it (BCP 47); English first, which stands in for all others.
const LANGUAGES: [&str; 5] = ["en", "zh", "de", "ja", "es"];
/// Languages of one request that are looked at.
const MOST_ASKED: usize = 20;

static WORDS: LazyLock<BTreeMap<&str, Words>> =
    LazyLock::new(|| LANGUAGES.map(|name| (name, Words::read(name))).into());

/// What the page says in one language.
#[derive(Debug)]
pub(super) struct Words(Value);

impl Words {
    fn read(language: &str) -> Self {
        let name = format!("words-{language}.js");
        let file = ASSETS.iter().find(|asset| asset.name == name);
        let text = file.expect("it is a file of the page").body;
        let json = text.strip_prefix("export default ");
        let json = json.and_then(|json| json.trim_end().strip_suffix(';'));
        let json = json.expect("a module of one object");
        Self(serde_json::from_str(json).expect("the object is JSON"))
    }

    /// The text of this name.
    pub(super) fn say<'a>(&'a self, name: &'a str) -> &'a str {
        self.0[name].as_str().unwrap_or(name)
    }

    /// The same with `value` in its one place.
    pub(super) fn say_with(&self, name: &str, value: &str) -> String {
        let text = self.say(name);
        match (text.split_once('{'), text.split_once('}')) {
            (Some((before, _)), Some((_, after))) => format!("{before}{value}{after}"),
            _ => text.to_owned(),
        }
    }
}

/// The words for whoever sent a request: by its address (`?lang=de`), then by what
/// their browser asks for (`Accept-Language`, RFC 9110 §12.5.4), else English.
pub(super) fn asked(headers: &HeaderMap, uri: &Uri) -> &'static Words {
    let query = uri.query().unwrap_or_default();
    let typed = url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "lang")
        .map(|(_, tag)| tag.into_owned());
    let accepted = headers.get(header::ACCEPT_LANGUAGE);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let language = choose(typed.as_deref(), accepted.unwrap_or_default());
    &WORDS[language]
}

fn choose(typed: Option<&str>, accepted: &str) -> &'static str {
    let mut accepted: Vec<_> = accepted
        .split(',')
        .take(MOST_ASKED)
        .map(|one| {
            let (tag, weight) = one.split_once(";q=").unwrap_or((one, "1"));
            (tag.trim(), weight.trim().parse().unwrap_or(0_f32))
        })
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    // Of equal ones the first.
    accepted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let tags = typed
        .into_iter()
        .chain(accepted.iter().map(|(tag, _)| *tag));
    tags.filter_map(known).next().unwrap_or(LANGUAGES[0])
}

/// A dialect is its language.
fn known(tag: &str) -> Option<&'static str> {
    let language = tag.split('-').next().unwrap_or_default();
    let mut all = LANGUAGES.into_iter();
    all.find(|name| name.eq_ignore_ascii_case(language))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::reason::Code;

    /// Every text by its path, as `reasons.full`.
    fn texts(words: &Words) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, value) in words.0.as_object().expect("an object") {
            match value {
                Value::String(text) => drop(all.insert(name.clone(), text.clone())),
                Value::Object(group) => all.extend(group.iter().map(|(key, text)| {
                    let text = text.as_str().expect("a text").to_owned();
                    (format!("{name}.{key}"), text)
                })),
                other => panic!("{name}: {other}"),
            }
        }
        all
    }

    /// What stands in braces.
    fn places(text: &str) -> BTreeSet<&str> {
        let after = text.split('{').skip(1);
        after
            .map(|rest| rest.split_once('}').expect("a closing brace").0)
            .collect()
    }

    #[test]
    fn no_language_lacks_a_text_or_a_place_in_one() {
        let english = texts(&WORDS["en"]);
        for (language, words) in &*WORDS {
            let own = texts(words);
            let names = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&own), names(&english), "{language}");
            for (name, text) in &own {
                assert!(!text.trim().is_empty(), "{language}: {name}");
                assert_eq!(places(text), places(&english[name]), "{language}: {name}");
                assert!(!text.contains(['<', '&']), "{language}: {name}: markup");
            }
            let tag = &own["language"];
            assert_eq!(known(tag), Some(*language), "{tag}");
        }
        let said: BTreeSet<_> = WORDS.values().map(|words| words.say("hangUp")).collect();
        assert_eq!(said.len(), LANGUAGES.len(), "each in its own words");
    }

    #[test]
    fn every_reason_that_the_device_can_give_has_words_in_every_language() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for (language, words) in &*WORDS {
            let reasons = words.0["reasons"].as_object().expect("an object");
            let known: BTreeSet<_> = reasons.keys().map(String::as_str).collect();
            assert_eq!(known, codes, "{language}");
            for (code, text) in reasons {
                // What the page can fill in.
                let text = text.as_str().expect("a text");
                let strange: Vec<_> = places(text)
                    .into_iter()
                    .filter(|place| !["detail", "control"].contains(place))
                    .collect();
                assert!(strange.is_empty(), "{language}: {code}: {strange:?}");
            }
        }
    }

    /// Letters of names in a text.
    fn names(text: &str) -> BTreeSet<&str> {
        text.split(|c: char| !c.is_ascii_alphanumeric()).collect()
    }

    #[test]
    fn the_page_says_what_there_is_to_say_and_nothing_else() {
        let english = texts(&WORDS["en"]);
        let is_words = |name: &str| name.starts_with("words-");
        let parts: Vec<_> = ASSETS.iter().filter(|a| !is_words(a.name)).collect();
        for part in &parts {
            for said in part.body.split("words.").skip(1) {
                let name = said.split(|c: char| !c.is_ascii_alphanumeric()).next();
                let name = name.unwrap_or_default();
                assert!(
                    name == "js" || english.contains_key(name),
                    "{}: words.{name}",
                    part.name
                );
            }
            for said in part.body.split("data-say=\"").skip(1) {
                let said = said.split('"').next().unwrap_or_default();
                for name in said.split(' ').map(|s| s.rsplit(':').next().unwrap_or(s)) {
                    assert!(english.contains_key(name), "{}: {name}", part.name);
                }
            }
        }
        let sign_in = include_str!("page/sign-in.html");
        let answers = include_str!("login/answers.rs");
        let bodies = parts.iter().map(|part| part.body);
        let used: BTreeSet<_> = bodies.chain([sign_in, answers]).flat_map(names).collect();
        for name in english.keys().filter(|name| !name.contains('.')) {
            assert!(used.contains(name.as_str()), "nobody says {name}");
        }
    }

    /// What a browser would show before the words come is English for everybody.
    #[test]
    fn the_page_itself_has_no_words() {
        let page = ASSETS.iter().find(|asset| asset.is_page());
        let body = page.expect("a page").body;
        let (_, body) = body.split_once("<body").expect("a body");
        let texts = body.split('<').filter_map(|tag| tag.split_once('>'));
        let left: Vec<_> = texts
            // For who gets no words at all.
            .filter(|(tag, _)| !tag.contains("trouble") && *tag != "noscript")
            .map(|(_, text)| text.trim())
            .filter(|text| text.chars().any(char::is_alphabetic))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        for said in ["aria-label=", "placeholder=", " title="] {
            assert!(!body.contains(said), "{said} belongs into data-say");
        }
    }

    #[test]
    fn a_browser_is_answered_in_the_best_language_that_it_asks_for() {
        for (accepted, language) in [
            ("", "en"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("fr, ja;q=0.5, de;q=0.7", "de"),
            ("zh-Hans-CN", "zh"),
            ("zh", "zh"),
            ("es-419;q=1", "es"),
            ("DE", "de"),
            ("de;q=0, ja", "ja"),
            ("*", "en"),
            ("fr", "en"),
            (";q=,,q=;x", "en"),
        ] {
            assert_eq!(choose(None, accepted), language, "{accepted}");
        }
        assert_eq!(choose(Some("ja"), "de"), "ja");
        assert_eq!(choose(Some("tlh"), "de"), "de");
        let uri: Uri = "/cam/?name=bob&lang=es".parse().expect("an address");
        let words = asked(&HeaderMap::new(), &uri);
        assert_eq!(words.say("language"), "es");
        assert_eq!(words.say_with("seconds", "7"), "7 segundos");
        let german = HeaderMap::from_iter([(
            header::ACCEPT_LANGUAGE,
            header::HeaderValue::from_static("de"),
        )]);
        let words = asked(&german, &Uri::default());
        assert_eq!(words.say("language"), "de");
    }
}
