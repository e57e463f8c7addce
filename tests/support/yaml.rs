//! YAML to JSON, as far as charts in tests go.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Reads documents. No tags, anchors or merge keys.
pub fn read(text: &str) -> Result<Vec<Value>, String> {
    let mut events = Parser::new_from_str(text);
    let mut documents = Vec::new();
    while let Some(event) = events.next_event() {
        if matches!(event.map_err(|error| error.to_string())?.0, Event::DocumentStart(_)) {
            let first = next(&mut events)?;
            documents.push(node(first, &mut events)?);
        }
    }
    Ok(documents)
}

type Events<'a> = Parser<'a, saphyr_parser::StrInput<'a>>;

fn next<'a>(events: &mut Events<'a>) -> Result<Event<'a>, String> {
    events.next_event().ok_or("the text ends early")?.map(|(event, _)| event).map_err(|error| error.to_string())
}

fn node<'a>(event: Event<'a>, events: &mut Events<'a>) -> Result<Value, String> {
    Ok(match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match next(events)? {
                    Event::SequenceEnd => break Value::Array(list),
                    item => list.push(node(item, events)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                match next(events)? {
                    Event::MappingEnd => break Value::Object(map),
                    Event::Scalar(key, ..) => {
                        let value = next(events)?;
                        map.insert(key.into_owned(), node(value, events)?);
                    }
                    other => return Err(format!("a key that is {other:?}")),
                }
            }
        }
        other => return Err(format!("{other:?} is not for tests")),
    })
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" | "yes" | "on" | "y" => Value::Bool(true),
        "false" | "no" | "off" | "n" => Value::Bool(false),
        _ => text.parse::<serde_json::Number>().map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}
