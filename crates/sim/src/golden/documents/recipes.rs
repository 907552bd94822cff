//! The stores, one for each part of the document store that has something on disk.

use fountain_engine::{IndexDefinition, IndexKind};

use super::expected::Expected;
use super::maker::{Beside, Maker};
use crate::Outcome;
use crate::golden::Image;

/// One of the stores.
pub(super) struct Recipe {
    /// What it is called; also the name of its directory.
    pub(super) name: &'static str,
    /// What is special about it.
    pub(super) about: &'static str,
    make: fn(&str) -> Outcome<(Image, Expected)>,
}

impl Recipe {
    /// Makes the store.
    pub(super) fn make(&self) -> Outcome<(Image, Expected)> {
        (self.make)(self.about)
    }
}

/// All stores.
pub(super) const RECIPES: &[Recipe] = &[
    Recipe { name: "documents", about: "documents of every form with their pasts, closed", make: documents },
    Recipe {
        name: "indexes",
        about: "indexes of every kind over records from before and after",
        make: indexes,
    },
    Recipe { name: "expiry", about: "records that expire by a field or by themselves", make: expiry },
    Recipe {
        name: "drops",
        about: "dropped collections and indexes, and a past that is not kept",
        make: drops,
    },
    Recipe { name: "killed", about: "commits in the log, an index among them; never closed", make: killed },
];

/// An object with more members than a shape may have.
fn wide() -> String {
    let members: Vec<String> = (0..130).map(|n| format!("\"member{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

fn documents(about: &str) -> Outcome<(Image, Expected)> {
    let mut maker = Maker::new(about)?;
    let cities = |maker: &mut Maker, writes: &[(&str, Option<&str>)]| maker.commit("cities", writes);
    cities(&mut maker, &[("Bonn", Some(r#"{"people":335000,"river":"Rhein"}"#)), ("Calw", Some("{}"))])?;
    cities(
        &mut maker,
        &[("Köln", Some(r#"{"people":1087000,"river":"Rhein","twins":["Lille","Kyoto","京都"]}"#))],
    )?;
    cities(&mut maker, &[("Calw", Some(r#"{"people":24000,"river":"Nagold"}"#)), ("Bonn", None)])?;
    maker.flush()?;
    cities(&mut maker, &[("Bonn", Some(r#"{"people":336000,"river":null,"is":{"old":true,"new":false}}"#))])?;
    maker.commit("odd", &[("", Some(r#"{"":"","\u0000":[[],[[]],{}]}"#)), ("wide", Some(&wide()))])?;
    maker.commit(
        "odd",
        &[("numbers", Some(r#"{"n":[0,63,64,255,320,-1,32767,-32768,2147483647,1.5,-0.25,1e+100]}"#))],
    )?;
    maker.flush()?;
    maker.compact()?;
    cities(&mut maker, &[("Köln", None), ("Ulm", Some(r#"{"people":126000,"river":"Donau"}"#))])?;
    maker.commit("odd", &[("wide", None), ("deep", Some(r#"{"a":{"a":{"a":{"a":[{"a":1}]}}}}"#))])?;
    maker.finish(true)
}

fn indexes(about: &str) -> Outcome<(Image, Expected)> {
    let mut maker = Maker::new(about)?;
    let person = |mail: &str, city: &str, age: u32, tags: &str| {
        format!(r#"{{"mail":"{mail}@x.org","city":"{city}","age":{age},"tags":{tags}}}"#)
    };
    let early = [
        ("ada", person("ada", "Ulm", 36, r#"["math","poetry"]"#)),
        ("bob", person("bob", "Bonn", 50, "[]")),
        ("cleo", person("cleo", "Ulm", 39, r#"["math"]"#)),
    ];
    for (key, document) in &early {
        maker.commit("people", &[(key, Some(document))])?;
    }
    maker.flush()?;
    maker.index("people", IndexDefinition::new("byMail", IndexKind::Unique, &["mail"])?)?;
    maker.index("people", IndexDefinition::new("byTag", IndexKind::Multi, &["tags[]"])?)?;
    maker.index("people", IndexDefinition::new("byCityAndAge", IndexKind::Multi, &["city", "age"])?)?;
    maker.index("people", IndexDefinition::new("byNick", IndexKind::Unique, &["nick"])?.sparse())?;
    maker.flush()?;
    maker.commit("people", &[("dan", Some(&person("dan", "Bonn", 28, r#"["chess","math"]"#)))])?;
    maker
        .commit("people", &[("bob", Some(r#"{"mail":"robert@x.org","city":"Ulm","age":51,"nick":"b"}"#))])?;
    // A key of a unique index goes from one record to another.
    maker.commit("people", &[("cleo", None), ("eve", Some(&person("cleo", "Calw", 20, r#"["poetry"]"#)))])?;
    maker.expect("people", "byMail", &["ada", "eve", "dan", "bob"])?;
    maker.expect("people", "byTag", &["bob", "dan", "ada", "dan", "ada", "eve"])?;
    maker.expect("people", "byCityAndAge", &["dan", "eve", "ada", "bob"])?;
    maker.expect("people", "byNick", &["bob"])?;
    maker.commit("notes", &[("before", Some(r#"{"text":"no words"}"#))])?;
    maker.commit("notes", &[("before", None)])?;
    maker.index("notes", IndexDefinition::computed("words", IndexKind::Multi, 1)?)?;
    let words = |words: &'static str| Beside::Values(words);
    maker.commit_with(
        "notes",
        &[
            ("one", Some(r#"{"text":"the quick fox"}"#), words(r#"{"words@1":["fox","quick","the"]}"#)),
            ("two", Some(r#"{"text":"the end"}"#), words(r#"{"words@1":["end","the"]}"#)),
        ],
    )?;
    maker.expect("notes", "words", &["two", "one", "one", "one", "two"])?;
    maker.finish(true)
}

fn expiry(about: &str) -> Outcome<(Image, Expected)> {
    let mut maker = Maker::new(about)?;
    maker.create("sessions", r#"{"ttl":{"field":"seen","after":1000}}"#)?;
    let seen = |after: u64| format!(r#"{{"user":"ada","seen":{}}}"#, 1_800_000_000_000 + after);
    maker.commit("sessions", &[("early", Some(&seen(0))), ("late", Some(&seen(60_000)))])?;
    maker.commit("sessions", &[("never", Some(r#"{"user":"bob"}"#)), ("gone", Some(&seen(500)))])?;
    maker.flush()?;
    maker.commit("sessions", &[("early", Some(&seen(90_000))), ("gone", Some(&seen(700)))])?;
    maker.commit_with(
        "codes",
        &[
            ("a", Some(r#"{"code":1}"#), Beside::Expires(2000)),
            ("b", Some(r#"{"code":2}"#), Beside::Expires(50_000)),
            ("c", Some(r#"{"code":3}"#), Beside::Nothing),
        ],
    )?;
    maker.index("codes", IndexDefinition::new("byCode", IndexKind::Unique, &["code"])?)?;
    maker.expect("codes", "byCode", &["b", "c"])?;
    maker.expire("sessions", 10_000, &["gone"])?;
    maker.expire("codes", 10_000, &["a"])?;
    maker.finish(true)
}

fn drops(about: &str) -> Outcome<(Image, Expected)> {
    let mut maker = Maker::new(about)?;
    maker.commit("again", &[("1", Some(r#"{"life":"first"}"#)), ("2", Some(r#"{"life":"first"}"#))])?;
    maker.index("again", IndexDefinition::new("byLife", IndexKind::Multi, &["life"])?)?;
    maker.flush()?;
    maker.drop("again")?;
    maker.commit("again", &[("1", Some(r#"{"life":"second"}"#))])?;
    maker.index("again", IndexDefinition::new("byLife", IndexKind::Multi, &["life"])?)?;
    maker.drop_index("again", "byLife")?;
    maker.index("again", IndexDefinition::new("byOther", IndexKind::Multi, &["other"])?)?;
    maker.commit("again", &[("3", Some(r#"{"other":7}"#))])?;
    maker.expect("again", "byOther", &["1", "3"])?;
    maker.create("latest", r#"{"retention":"latestOnly"}"#)?;
    for round in 0..4 {
        maker.commit("latest", &[("counter", Some(&format!(r#"{{"round":{round}}}"#)))])?;
        maker.flush()?;
    }
    maker.compact()?;
    maker.commit("last", &[("x", Some(r#"{"life":"short"}"#))])?;
    maker.drop("last")?;
    maker.finish(true)
}

fn killed(about: &str) -> Outcome<(Image, Expected)> {
    let mut maker = Maker::new(about)?;
    maker.commit(
        "users",
        &[("ada", Some(r#"{"n":1,"tags":["x"]}"#)), ("bob", Some(r#"{"n":2,"tags":["y"]}"#))],
    )?;
    maker.flush()?;
    maker.index("users", IndexDefinition::new("byN", IndexKind::Unique, &["n"])?)?;
    maker.commit("users", &[("bob", None), ("cleo", Some(r#"{"n":2,"tags":["x","z"]}"#))])?;
    maker.commit("logs", &[("1", Some(r#"{"what":"began","at":5}"#))])?;
    maker.index("users", IndexDefinition::new("byTag", IndexKind::Multi, &["tags[]"])?)?;
    maker.commit("users", &[("dan", Some(r#"{"n":0,"tags":[]}"#))])?;
    maker.expect("users", "byN", &["dan", "ada", "cleo"])?;
    maker.expect("users", "byTag", &["dan", "ada", "cleo", "cleo"])?;
    maker.finish(false)
}
