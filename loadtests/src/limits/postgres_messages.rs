//! Reads what a client of Postgres sends, as far as it says which statements run with which parameters.
//!
//! The protocol: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use tcp_proxy::postgres::MessageReader;

use super::Execution;

/// A client's side of one connection, fed chunk by chunk.
#[derive(Debug)]
pub(super) struct ClientMessages {
    messages: MessageReader,
    /// By the name that the client gave: the text, and the types of its parameters.
    prepared: HashMap<Vec<u8>, (String, Vec<u32>)>,
}

impl Default for ClientMessages {
    fn default() -> Self {
        ClientMessages {
            messages: MessageReader::of_client(),
            prepared: HashMap::new(),
        }
    }
}

impl ClientMessages {
    /// Takes what was sent next, and returns the statements that were run with it.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Execution>> {
        let mut executions = Vec::new();
        for (kind, body) in self.messages.feed(bytes) {
            executions.extend(self.read(kind, &body)?);
        }
        Ok(executions)
    }

    fn read(&mut self, kind: u8, body: &[u8]) -> Result<Option<Execution>> {
        let mut fields = Fields { rest: body };
        match kind {
            b'P' => {
                let name = fields.text()?.to_vec();
                let sql = String::from_utf8(fields.text()?.to_vec())?;
                let count = fields.count()?;
                let types = (0..count).map(|_| fields.number()).collect::<Result<_>>()?;
                self.prepared.insert(name, (sql, types));
                Ok(None)
            }
            b'B' => self.read_bind(&mut fields).map(Some),
            b'Q' => {
                let sql = String::from_utf8(fields.text()?.to_vec())?;
                Ok(Some(Execution {
                    sql,
                    parameters: Vec::new(),
                }))
            }
            _ => Ok(None),
        }
    }

    fn read_bind(&self, fields: &mut Fields<'_>) -> Result<Execution> {
        let _portal = fields.text()?;
        let name = fields.text()?;
        let (sql, types) = self
            .prepared
            .get(name)
            .context("a statement was run that was never prepared")?;
        let format_count = fields.count()?;
        let formats = (0..format_count)
            .map(|_| fields.count())
            .collect::<Result<Vec<usize>>>()?;
        let parameter_count = fields.count()?;
        let mut sql = sql.clone();
        let parameters = (0..parameter_count)
            .map(|index| {
                let length = fields.number()?;
                if length == NULL {
                    sql = with_null(&sql, index + 1);
                    return Ok(String::new());
                }
                let value = fields.bytes(usize::try_from(length)?)?;
                // One format stands for all parameters, none for text.
                let is_binary = formats
                    .get(index)
                    .or(formats.first())
                    .is_some_and(|format| *format == 1);
                let kind = types.get(index).copied().unwrap_or_default();
                if is_binary {
                    binary_as_text(kind, value)
                } else {
                    Ok(std::str::from_utf8(value)?.to_owned())
                }
            })
            .collect::<Result<_>>()?;
        Ok(Execution { sql, parameters })
    }
}

/// What stands in place of a null parameter's length: -1.
const NULL: u32 = u32::MAX;

/// The statement with a null in place of a parameter. pgbench has no variable that is null.
fn with_null(sql: &str, parameter: usize) -> String {
    let name = format!("${parameter}");
    let mut parts = sql.split(name.as_str());
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // $1 is no part of $10.
        let goes_on = part.starts_with(|next: char| next.is_ascii_digit());
        text.push_str(if goes_on { &name } else { "null" });
        text.push_str(part);
    }
    text
}

/// A parameter in its text form, by the number of its type in `pg_type`.
fn binary_as_text(kind: u32, value: &[u8]) -> Result<String> {
    const BOOL: u32 = 16;
    const INT8: u32 = 20;
    const INT2: u32 = 21;
    const INT4: u32 = 23;
    const BYTEA: u32 = 17;
    const TEXT: u32 = 25;
    const FLOAT4: u32 = 700;
    const VARCHAR: u32 = 1043;
    const FLOAT8: u32 = 701;
    const INT4_ARRAY: u32 = 1007;
    const TEXT_ARRAY: u32 = 1009;
    const INT8_ARRAY: u32 = 1016;
    const TIMESTAMPTZ: u32 = 1184;
    const JSONB: u32 = 3802;
    const UUID: u32 = 2950;
    const UUID_ARRAY: u32 = 2951;
    Ok(match kind {
        BOOL => (value == [1]).to_string(),
        INT8 => i64::from_be_bytes(value.try_into()?).to_string(),
        INT4 => i32::from_be_bytes(value.try_into()?).to_string(),
        INT2 => i16::from_be_bytes(value.try_into()?).to_string(),
        FLOAT4 => f32::from_be_bytes(value.try_into()?).to_string(),
        TEXT | VARCHAR => std::str::from_utf8(value)?.to_owned(),
        FLOAT8 => f64::from_be_bytes(value.try_into()?).to_string(),
        UUID => uuid::Uuid::from_slice(value)?.to_string(),
        BYTEA => format!(
            "\\x{}",
            value.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        ),
        TIMESTAMPTZ => moment(i64::from_be_bytes(value.try_into()?))?,
        // A byte with the format's version comes first.
        JSONB => std::str::from_utf8(value.get(1..).context("a jsonb without its version")?)?.to_owned(),
        UUID_ARRAY => array(value, |element| Ok(uuid::Uuid::from_slice(element)?.to_string()))?,
        INT4_ARRAY => array(value, |element| {
            Ok(i32::from_be_bytes(element.try_into()?).to_string())
        })?,
        INT8_ARRAY => array(value, |element| {
            Ok(i64::from_be_bytes(element.try_into()?).to_string())
        })?,
        TEXT_ARRAY => array(value, |element| {
            let text = std::str::from_utf8(element)?
                .replace('\\', "\\\\")
                .replace('"', "\\\"");
            Ok(format!("\"{text}\""))
        })?,
        other => bail!("parameters of the type with oid {other} cannot be given to pgbench yet"),
    })
}

/// Dimensions, whether there are nulls, the elements' type; for the dimension its length and lower bound; the elements.
fn array(value: &[u8], text: impl Fn(&[u8]) -> Result<String>) -> Result<String> {
    let mut fields = Fields { rest: value };
    let (dimensions, _nulls, _kind) = (fields.number()?, fields.number()?, fields.number()?);
    if dimensions == 0 {
        return Ok("{}".to_owned());
    }
    let (length, _lower_bound) = (fields.number()?, fields.number()?);
    let elements = (0..length)
        .map(|_| {
            let length = fields.number()? as usize;
            text(fields.bytes(length)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(format!("{{{}}}", elements.join(",")))
}

/// A time in microseconds since 2000, as RFC 3339.
fn moment(microseconds: i64) -> Result<String> {
    let since = time::Duration::microseconds(microseconds);
    let begin = time::macros::datetime!(2000-01-01 00:00 UTC);
    let at = begin.checked_add(since).context("a time that is none")?;
    Ok(at.format(&time::format_description::well_known::Rfc3339)?)
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (field, rest) = self
            .rest
            .split_at_checked(length)
            .context("a message ends too early")?;
        self.rest = rest;
        Ok(field)
    }

    /// Up to a zero byte.
    fn text(&mut self) -> Result<&'a [u8]> {
        let length = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .context("a text without an end")?;
        let text = self.bytes(length)?;
        self.bytes(1)?;
        Ok(text)
    }

    fn count(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.bytes(2)?.try_into()?)))
    }

    fn number(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.bytes(4)?.try_into()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [kind, &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn prepared_statements_are_told_with_their_parameters_however_they_are_cut() {
        let uuid = uuid::Uuid::from_u128(7);
        let array = [
            &[
                0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x0b, 0x86, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 16,
            ],
            &uuid.as_bytes()[..],
        ]
        .concat();
        let bind = [
            b"\0s1\0\0\x01\0\x01\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x15".as_slice(),
            &u32::try_from(array.len()).unwrap().to_be_bytes(),
            &array,
            b"\0\0",
        ]
        .concat();
        let stream = [
            message(b"", b"\0\x03\0\0user\0me\0\0"),
            message(b"P", b"s1\0select $1, $2\0\0\x02\0\0\0\x14\0\0\x0b\x87"),
            message(b"B", &bind),
            message(b"E", b"\0\0\0\0\0"),
            message(b"Q", b"begin\0"),
        ]
        .concat();
        let mut client = ClientMessages::default();
        let seen: Vec<Execution> = stream
            .chunks(3)
            .flat_map(|chunk| client.feed(chunk).unwrap())
            .collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].sql, "select $1, $2");
        assert_eq!(seen[0].parameters, ["21".to_owned(), format!("{{{uuid}}}")]);
        assert_eq!(seen[1].sql, "begin");
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut client = ClientMessages::default();
        client.feed(&message(b"", b"\0\x03\0\0\0")).unwrap();
        assert!(
            client
                .feed(&message(b"B", b"\0never prepared\0\0\0\0\0\0\0"))
                .is_err()
        );
        assert!(binary_as_text(600, b"a point").is_err());
    }

    #[test]
    fn parameters_of_an_order_are_told_in_their_text_form() {
        let text = |kind, value: &[u8]| binary_as_text(kind, value).unwrap();
        assert_eq!(text(17, &[0, 255]), "\\x00ff");
        assert_eq!(text(1184, &1_500_000_i64.to_be_bytes()), "2000-01-01T00:00:01.5Z");
        assert_eq!(text(3802, b"\x01{\"v\":1}"), "{\"v\":1}");
        let numbers = [
            1_u32.to_be_bytes(),
            0_u32.to_be_bytes(),
            23_u32.to_be_bytes(),
            1_u32.to_be_bytes(),
            1_u32.to_be_bytes(),
            4_u32.to_be_bytes(),
            7_u32.to_be_bytes(),
        ];
        assert_eq!(text(1007, &numbers.concat()), "{7}");
        assert_eq!(
            with_null("select $1, $10, $1::uuid", 1),
            "select null, $10, null::uuid"
        );
    }
}
