//! What records promise: that what goes in comes out, that nothing malformed passes, that bytes never bring a reader down.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;
use crate::keys::BigInt;
use crate::limits::{MAX_DOCUMENT_DEPTH, MAX_SHAPE_NAMES, MAX_SHAPES, MAX_UNPACKED_NAME_BYTES};

fn document(json: &str) -> Value {
    from_json(json).unwrap()
}

fn json_of(record: &[u8], shapes: &[Arc<Shape>]) -> String {
    let mut out = Vec::new();
    to_json(&mut Reader::new(record, shapes).unwrap(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![3 => "[a-z]{0,70}", 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-70_000i32..70_000).prop_map(|n| Value::Number(f64::from(n))),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| Value::Number(n + 0.0)),
        any::<i64>().prop_map(|n| Value::BigInt(BigInt::from(n))),
        (-8.64e15..=8.64e15f64).prop_map(|n| Value::Date(n.trunc() + 0.0)),
        text.prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
        prop::collection::vec(-1e9f32..1e9, 0..40).prop_map(Value::Floats),
    ];
    leaf.prop_recursive(5, 60, 40, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..40).prop_map(Value::Array), object_of(inner),]
    })
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-cé]{0,3}", value, 0..6)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_document_comes_back_as_it_was_written(document in object_of(any_value()), full in any::<bool>()) {
        let shapes = if full { &*FULL } else { &Shapes::empty() };
        let record = write(&document, shapes).unwrap();
        check(&record, &shapes.list()).unwrap();
        let list = shapes.list();
        let mut reader = Reader::new(&record, &list).unwrap();
        prop_assert_eq!(Value::read(&mut reader).unwrap(), document);
        prop_assert!(reader.is_at_end());
        let mut reader = Reader::new(&record, &list).unwrap();
        reader.skip().unwrap();
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn json_comes_back_as_serde_reads_it(document in object_of(any_value())) {
        let shapes = Shapes::empty();
        let record = write(&document, &shapes).unwrap();
        let text = json_of(&record, &shapes.list());
        let again = write(&from_json(&text).unwrap(), &shapes).unwrap();
        prop_assert_eq!(json_of(&again, &shapes.list()), text.clone());
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    /// A reader must end with an error or at the end, and what the check accepts must be readable.
    #[test]
    fn changed_bytes_are_refused_or_are_another_document(
        document in object_of(any_value()), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let shapes = Shapes::empty();
        let mut record = write(&document, &shapes).unwrap();
        let at = at.index(record.len());
        record[at] = byte;
        if cut {
            record.truncate(at);
        }
        let list = shapes.list();
        let read = Reader::new(&record, &list).and_then(|mut reader| Value::read(&mut reader));
        match check(&record, &list) {
            Ok(()) => prop_assert_eq!(write(&read.unwrap(), &shapes).is_ok(), true),
            Err(error) => prop_assert!(matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::NewerFormat)),
        }
    }

    #[test]
    fn a_path_is_read_as_it_is_written(names in prop::collection::vec(prop::option::of(any::<String>()), 0..8)) {
        let mut steps = vec![Step::Member("a".into())];
        steps.extend(names.iter().map(|name| name.as_ref().map_or(Step::Each, |name| Step::Member(name.as_str().into()))));
        let text = steps.iter().enumerate().map(|(index, step)| match step {
            Step::Each => "[]".to_owned(),
            Step::Member(_) if index == 0 => "a".to_owned(),
            Step::Member(name) => format!("[{}]", serde_json::json!(name)),
        }).collect::<String>();
        let path = Path::parse(&text).unwrap();
        prop_assert_eq!(path.steps(), &steps[..]);
        prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
    }

    #[test]
    fn any_text_is_a_path_or_is_refused_with_its_place(text in r#"[ab.\[\]"\\$]{0,12}"#) {
        if let Err(error) = Path::parse(&text) {
            prop_assert_eq!(error.code, ErrorCode::Validation);
            prop_assert!(error.details.offset.unwrap() <= text.len() as u64);
        }
    }
}

/// Shapes to which none can be added any more.
static FULL: LazyLock<Shapes> = LazyLock::new(|| {
    let shapes = Shapes::empty();
    for number in 0..MAX_SHAPES {
        shapes.reserve(&[&format!("filler {number}")]).unwrap();
    }
    shapes
});

#[test]
fn objects_carry_their_names_when_the_store_has_no_room_for_their_shape() {
    let shapes = Shapes::empty();
    let many: Vec<_> = (0..=MAX_SHAPE_NAMES).map(|n| (format!("m{n}"), Value::Null)).collect();
    let record = write(&Value::Object(many.clone()), &shapes).unwrap();
    assert_eq!(shapes.list().len(), 0);
    check(&record, &[]).unwrap();
    assert_eq!(Value::read(&mut Reader::new(&record, &[]).unwrap()).unwrap(), Value::Object(many));
    let error = FULL.reserve(&["one more"]).unwrap_err();
    assert_eq!((error.code, error.details.limit), (ErrorCode::Limit, Some(MAX_SHAPES as u64)));
    check(&write(&document(r#"{"new":1}"#), &FULL).unwrap(), &[]).unwrap();
}

#[test]
fn a_shape_is_given_once_for_its_names_in_their_order() {
    let shapes = Shapes::empty();
    let ab = shapes.reserve(&["a", "b"]).unwrap();
    assert_eq!(shapes.reserve(&["a", "b"]).unwrap(), ab);
    assert_ne!(shapes.reserve(&["b", "a"]).unwrap(), ab);
    assert_eq!(shapes.reserve(&["a", "a"]).unwrap_err().code, ErrorCode::InvalidArgument);
}

#[test]
fn the_bytes_of_a_record_are_those_of_the_format() {
    let shapes = Shapes::empty();
    let record = write(&document(r#"{"a":7,"b":["x",null,-1,300.5]}"#), &shapes).unwrap();
    let expected: &[u8] = &[
        2, 0, 17, 0, 0xA0, 7, 0x84, 0x41, 0xE0, 0xE4, 0xFF, 0xFF, 0xE6, 0, 0, 0, 0, 0, 0xC8, 0x72, 0x40, b'x',
    ];
    assert_eq!(record, expected);
    let wide = write(&document(r#"{"a":"é😀","b":""}"#), &shapes).unwrap();
    assert_eq!(wide, [&[2, 1, 5, 0, 0xA0, 0x43, 6, 0x40, 0][..], "é😀".as_bytes()].concat());
}

#[test]
fn what_would_mislead_readers_is_refused() {
    let shapes = Shapes::empty();
    shapes.reserve(&["a"]).unwrap();
    let refused: &[(&[u8], &str)] = &[
        (b"", "too short"),
        (b"\x02\0", "too short"),
        (b"\x02\0\x02\0\xA0", "structure cut short"),
        (b"\x02\0\x01\0\x05", "the document is not an object"),
        (b"\x02\0\x01\0\xA0", "structure cut short"),
        (b"\x02\0\x02\0\xA1\x00", "it names shape 1, which does not exist"),
        (b"\x02\0\x02\0\xA0\xEF", "unknown tag"),
        (b"\x02\0\x02\0\xA0\x00x", "bytes after the document"),
        (b"\x02\0\x03\0\xA0\x00\x00", "bytes after the document"),
        (b"\x02\0\x02\0\xA0\x41", "text cut short"),
        (b"\x02\x01\x03\0\xA0\x41\x01a", "the flag for wide text is wrong"),
        (b"\x02\0\x02\0\xA0\x42\xC3\xA9", "the flag for wide text is wrong"),
        (b"\x02\x01\x03\0\xA0\x42\x02\xC3\xA9", "the length of a string is wrong"),
        (b"\x02\0\x0A\0\xA0\xE6\0\0\0\0\0\0\xF0\x7F", "a number that is not finite, or −0"),
        (b"\x02\0\x0A\0\xA0\xE6\0\0\0\0\0\0\0\x80", "a number that is not finite, or −0"),
        (b"\x02\0\x0A\0\xA0\xEB\0\0\0\0\0\0\xE0\x3F", "a date out of range"),
        (b"\x02\0\x03\0\xA0\xEC\x01", "a bigint that is too long or not in its shortest form"),
        (b"\x02\0\x06\0\xEA\x02\x41\x00\x41\x00aa", "a name comes twice in an object"),
        (b"\x02\0\x04\0\xEA\x01\x01\x00", "a name is not text"),
        (b"\x02\0\x07\0\xA0\xE8\xFF\xFF\xFF\xFF\x0F", "structure cut short"),
    ];
    for (record, what) in refused {
        let error = check(record, &shapes.list()).unwrap_err();
        assert_eq!(
            (error.code, &*error.message),
            (ErrorCode::InvalidArgument, &*format!("malformed record: {what}"))
        );
    }
    assert_eq!(check(b"\x01{}", &[]).unwrap_err().code, ErrorCode::NewerFormat);
    assert_eq!(check(b"\x02\x04\0\0", &[]).unwrap_err().code, ErrorCode::NewerFormat);
}

#[test]
fn text_that_is_not_utf8_is_refused_where_it_is_taken_and_passed_over_elsewhere() {
    let shapes = Shapes::empty();
    shapes.reserve(&["a", "b"]).unwrap();
    let list = shapes.list();
    // Two strings of two bytes each, of which the second is no text.
    let record = b"\x02\x01\x05\0\xA0\x42\x02\x42\x02ab\xFF\xFF";
    let at_second = || {
        let mut reader = Reader::new(record, &list).unwrap();
        assert!(matches!(reader.next().unwrap(), Node::Object(_)));
        assert!(matches!(reader.next().unwrap(), Node::String("ab")));
        reader
    };
    let mut passed = at_second();
    passed.skip().unwrap();
    assert!(passed.is_at_end());
    let mut splice = Splice::default();
    splice.begin(&at_second(), std::iter::empty());
    let whole = Value::read(&mut Reader::new(record, &list).unwrap()).map(|_| ());
    for refused in [at_second().next().map(|_| ()), splice.copy(&mut at_second(), 1), whole] {
        let error = refused.unwrap_err();
        assert_eq!(error.code, ErrorCode::Corrupt);
        assert_eq!(error.message, "malformed record: text is not UTF-8");
    }
    assert_eq!(check(record, &list).unwrap_err().code, ErrorCode::InvalidArgument);
}

#[test]
fn nesting_ends_at_its_limit() {
    let shapes = Shapes::empty();
    let nested = |depth: usize| {
        let inner = (1..depth).fold(Value::Null, |value, _| Value::Array(vec![value]));
        Value::Object(vec![("a".to_owned(), inner)])
    };
    let deepest = write(&nested(MAX_DOCUMENT_DEPTH), &shapes).unwrap();
    check(&deepest, &shapes.list()).unwrap();
    assert_eq!(write(&nested(MAX_DOCUMENT_DEPTH + 1), &shapes).unwrap_err().code, ErrorCode::Validation);
    let arrays = [&[0xA0][..], &vec![0x81; 200_000], &[0]].concat();
    let bomb = [&[2, 2][..], &(arrays.len() as u32).to_le_bytes(), &arrays].concat();
    let list = shapes.list();
    assert!(check(&bomb, &list).unwrap_err().message.contains("nested too deep"));
    assert!(Value::read(&mut Reader::new(&bomb, &list).unwrap()).is_err());
    Reader::new(&bomb, &list).unwrap().skip().unwrap();
}

#[test]
fn paths_find_members_and_elements_and_nothing_else() {
    let shapes = Shapes::empty();
    let text = r#"{"n":1,"address":{"city":"Oslo","zip":null},"tags":["a","b"],"items":[{"sku":1},{"x":0},{"sku":2}],"a.b":{"c":true}}"#;
    let record = write(&document(text), &shapes).unwrap();
    let list = shapes.list();
    let reader = Reader::new(&record, &list).unwrap();
    let found = |path: &str| {
        let mut out = Vec::new();
        let collect = &mut |mut at: Reader<'_>| {
            out.push(b' ');
            to_json(&mut at, &mut out)
        };
        Path::parse(path).unwrap().visit(&reader, collect).unwrap();
        String::from_utf8(out).unwrap()
    };
    for (path, expected) in [
        ("n", " 1"),
        (".address.city", " \"Oslo\""),
        ("address.zip", " null"),
        ("address.none", ""),
        ("n.city", ""),
        ("tags", " [\"a\",\"b\"]"),
        ("tags[]", " \"a\" \"b\""),
        ("tags[][]", ""),
        ("tags.length", ""),
        ("items[].sku", " 1 2"),
        ("items.sku", ""),
        ("n[]", ""),
        (r#"["a.b"].c"#, " true"),
    ] {
        assert_eq!(found(path), expected, "{path}");
    }
}

#[test]
fn json_is_refused_where_it_is_wrong() {
    for (text, what) in [
        ("[1]", "a document is a JSON object"),
        ("{\"a\":\n1e999}", "line 2"),
        ("{\"a\":\"\\ud800\"}", "line 1"),
        ("{\"a\":1} x", "column 9"),
        ("{\"a\":NaN}", "column 6"),
    ] {
        let error = from_json(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::Validation);
        assert!(error.message.contains(what), "{}", error.message);
    }
    let bomb = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert_eq!(from_json(&bomb).unwrap_err().code, ErrorCode::Validation);
}

#[test]
fn json_has_text_for_what_it_has_no_type_for() {
    let shapes = Shapes::empty();
    let members = [
        ("date", Value::Date(1_700_000_000_123.0)),
        ("old", Value::Date(-62_198_755_200_001.0)),
        ("last", Value::Date(8.64e15)),
        ("big", Value::BigInt(BigInt::from(i64::MIN))),
        ("bytes", Value::Bytes(vec![0xFF, 0xFE])),
        ("floats", Value::Floats(vec![0.5, f32::NAN])),
        ("number", Value::Number(5.0)),
        ("large", Value::Number(1e300)),
        ("__proto__", Value::Null),
    ];
    let document = Value::Object(members.map(|(name, value)| (name.to_owned(), value)).into());
    let record = write(&document, &shapes).unwrap();
    assert_eq!(
        json_of(&record, &shapes.list()),
        r#"{"date":"2023-11-14T22:13:20.123Z","old":"-000002-12-31T23:59:59.999Z","last":"+275760-09-13T00:00:00.000Z","big":"-9223372036854775808","bytes":"//4=","floats":[0.5,null],"number":5,"large":1e+300,"__proto__":null}"#
    );
}

#[test]
fn the_last_of_two_members_with_one_name_counts() {
    let shapes = Shapes::empty();
    let record = write(&document(r#"{"a":1,"b":2,"a":3}"#), &shapes).unwrap();
    assert_eq!(json_of(&record, &shapes.list()), r#"{"a":3,"b":2}"#);
}

/// Names are stored once, so a small record can stand for very much text.
#[test]
fn what_a_record_unpacks_to_is_limited() {
    let shapes = Shapes::empty();
    let name = "n".repeat(1000);
    let element = format!("{{\"{name}\":null}}");
    let record = write(&document(&format!("{{\"a\":[{}]}}", vec![element; 100].join(","))), &shapes).unwrap();
    let list = shapes.list();
    let mut out = Vec::new();
    let error = json::push_value(&mut Reader::new(&record, &list).unwrap(), &mut out, 50_000).unwrap_err();
    assert_eq!((error.code, error.details.what), (ErrorCode::TooLarge, Some("JSON text")));
    assert!(record.len() < 300 && out.len() < 52_000, "{} {}", record.len(), out.len());
    out.clear();
    json::push_value(&mut Reader::new(&record, &list).unwrap(), &mut out, 200_000).unwrap();
    assert!(out.len() > 100_000);

    let elements = [0xA1, 0xE0].repeat(300_000);
    let structure = [&[0xE8, 0xE0, 0xA7, 0x12][..], &elements].concat();
    let record = [&[2, 2][..], &(structure.len() as u32).to_le_bytes(), &structure].concat();
    let error = Value::read(&mut Reader::new(&record, &list).unwrap()).unwrap_err();
    assert_eq!(
        (error.code, error.details.limit),
        (ErrorCode::TooLarge, Some(MAX_UNPACKED_NAME_BYTES as u64))
    );
}

#[test]
fn the_text_of_a_record_is_found_if_it_is_ascii() {
    let shapes = Shapes::empty();
    let record = |text: &str| {
        let text = Value::String(text.to_owned());
        write(&Value::Object(vec![("a".to_owned(), text)]), &shapes).unwrap()
    };
    let ascii = record("plain text");
    assert_eq!(&ascii[ascii_text(&ascii).unwrap()..], b"plain text");
    assert_eq!(ascii_text(&record("é")), None);
    assert_eq!(ascii_text(&ascii[..4]), None);
    assert_eq!(ascii_text(b"\x02\0"), None);
}
