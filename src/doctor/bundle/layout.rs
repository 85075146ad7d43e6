//! JSON as a person reads it: what fits stands on one line. Pure.

use serde_json::Value;

/// Columns.
const WIDTH: usize = 110;

/// An object of these fields, in this order.
pub(super) fn object(fields: &[(&str, Value)]) -> String {
    let mut text = String::from("{\n");
    for (i, (key, value)) in fields.iter().enumerate() {
        let end = if i + 1 == fields.len() { "\n" } else { ",\n" };
        let head = format!("  {}: ", Value::from(*key));
        text.push_str(&head);
        write(&mut text, value, 1, head.chars().count());
        text.push_str(end);
    }
    text.push_str("}\n");
    text
}

/// `value` at so many steps from the edge, behind so many columns of its line.
fn write(text: &mut String, value: &Value, depth: usize, before: usize) {
    let line = one_line(value);
    let is_empty = matches!(value, Value::Array(a) if a.is_empty())
        || matches!(value, Value::Object(o) if o.is_empty());
    if is_empty || before + line.chars().count() < WIDTH {
        text.push_str(&line);
        return;
    }
    let edge = "  ".repeat(depth + 1);
    let item = |text: &mut String, head: String, value: &Value, is_last: bool| {
        text.push_str(&edge);
        text.push_str(&head);
        write(text, value, depth + 1, edge.len() + head.chars().count());
        text.push_str(if is_last { "\n" } else { ",\n" });
    };
    match value {
        Value::Array(items) => {
            text.push_str("[\n");
            for (i, value) in items.iter().enumerate() {
                item(text, String::new(), value, i + 1 == items.len());
            }
            text.push_str(&format!("{}]", "  ".repeat(depth)));
        }
        Value::Object(fields) => {
            text.push_str("{\n");
            for (i, (key, value)) in fields.iter().enumerate() {
                let head = format!("{}: ", Value::from(key.as_str()));
                item(text, head, value, i + 1 == fields.len());
            }
            text.push_str(&format!("{}}}", "  ".repeat(depth)));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&line),
    }
}

/// With a blank behind each comma and colon.
fn one_line(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(one_line).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field = |(key, value)| format!("{}: {}", Value::from(key), one_line(value));
            let fields: Vec<_> = fields
                .iter()
                .map(|(k, v)| (k.as_str(), v))
                .map(field)
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_fits_is_on_one_line_and_the_rest_reads_the_same() {
        let modes: Vec<_> = (0..3)
            .map(|i| json!({"fourcc": "MJPG", "width": 640 + i, "height": 480, "rate": [30, 1]}))
            .collect();
        let fields = [
            ("board", json!("A \"board\"")),
            ("modes", json!(modes)),
            ("nothing", json!([])),
            ("deep", json!({"a": {"b": "x".repeat(200)}})),
        ];
        let text = object(&fields);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "  \"board\": \"A \\\"board\\\"\",");
        assert_eq!(lines[2], "  \"modes\": [");
        assert_eq!(
            lines[3],
            "    {\"fourcc\": \"MJPG\", \"height\": 480, \"rate\": [30, 1], \"width\": 640},"
        );
        assert_eq!(lines[7], "  \"nothing\": [],");
        assert_eq!(lines[9], "    \"a\": {");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        for (key, value) in fields {
            assert_eq!(read[key], value);
        }
    }
}
