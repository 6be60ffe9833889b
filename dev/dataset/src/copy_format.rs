//! Rows in the binary format of `COPY`: nothing to escape, nothing for the server to parse.
//!
//! A file is a header, then per row the number of fields and each field with its length, then −1; integers are
//! big-endian (PostgreSQL manual, "COPY", *Binary Format*).

use uuid::Uuid;

/// What a binary stream begins with: the signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0";

/// What a binary stream ends with.
pub const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Microseconds from the Unix epoch to that of Postgres, 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Rows, back to back.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    count: u64,
}

impl Rows {
    /// Room for about `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            count: 0,
        }
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The bytes, without header and trailer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins a row of so many fields; exactly so many have to follow.
    pub fn row(&mut self, fields: i16) -> &mut Self {
        self.count += 1;
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self
    }

    /// A `uuid`.
    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.field(value.as_bytes())
    }

    /// A `text`, or a `char(n)` of full length.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    /// A `bigint`.
    pub fn bigint(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// An `integer`.
    pub fn integer(&mut self, value: i32) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// A `smallint`.
    pub fn smallint(&mut self, value: i16) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// A `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.field(&[u8::from(value)])
    }

    /// A `timestamptz`, from microseconds of Unix time.
    pub fn timestamp(&mut self, unix_us: i64) -> &mut Self {
        self.field(&(unix_us - POSTGRES_EPOCH_US).to_be_bytes())
    }

    /// A `jsonb`: version 1, then its text.
    pub fn jsonb(&mut self, json: &str) -> &mut Self {
        self.length(1 + json.len());
        self.bytes.push(1);
        self.bytes.extend_from_slice(json.as_bytes());
        self
    }

    /// A value that is in its type's binary format already.
    pub fn binary(&mut self, value: &[u8]) -> &mut Self {
        self.field(value)
    }

    /// A `null` of any type.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    fn field(&mut self, value: &[u8]) -> &mut Self {
        self.length(value.len());
        self.bytes.extend_from_slice(value);
        self
    }

    fn length(&mut self, bytes: usize) {
        let length = i32::try_from(bytes).expect("generated fields are far below 2 GiB");
        self.bytes.extend_from_slice(&length.to_be_bytes());
    }
}

/// Writes a flat JSON object of texts. The catalogue's own words hold nothing that JSON would escape.
pub fn json_object<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut json = String::with_capacity(160);
    json.push('{');
    for (name, value) in pairs {
        debug_assert!(
            !name.contains(['"', '\\']) && !value.contains(['"', '\\']),
            "{name}: {value}"
        );
        if json.len() > 1 {
            json.push(',');
        }
        for part in ["\"", name, "\":\"", value, "\""] {
            json.push_str(part);
        }
    }
    json.push('}');
    json
}
