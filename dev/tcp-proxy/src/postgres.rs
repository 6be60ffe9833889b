//! Splits one side of a connection to Postgres into messages.
//!
//! The protocol: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

/// A connection's messages in one direction, fed chunk by chunk.
#[derive(Debug)]
pub struct MessageReader {
    buffer: Vec<u8>,
    /// The first message of a client, the startup message, has no type byte.
    has_type: bool,
}

/// The type of a message, and the rest of it without its length.
pub type Message = (u8, Vec<u8>);

impl MessageReader {
    /// The messages that a client sends.
    pub fn of_client() -> MessageReader {
        MessageReader {
            buffer: Vec::new(),
            has_type: false,
        }
    }

    /// The messages that the server sends, on a connection without TLS.
    pub fn of_server() -> MessageReader {
        MessageReader {
            buffer: Vec::new(),
            has_type: true,
        }
    }

    /// Adds bytes, and returns the messages that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buffer.extend_from_slice(bytes);
        std::iter::from_fn(|| self.next()).collect()
    }

    fn next(&mut self) -> Option<Message> {
        let header = usize::from(self.has_type);
        let length = self.buffer.get(header..header + 4)?.try_into().ok()?;
        // The length counts its own four bytes.
        let end = header + (u32::from_be_bytes(length) as usize).max(4);
        if self.buffer.len() < end {
            return None;
        }
        let message: Vec<u8> = self.buffer.drain(..end).collect();
        // The startup message stands here as type 0.
        let kind = if self.has_type { message[0] } else { 0 };
        self.has_type = true;
        Some((kind, message[header + 4..].to_vec()))
    }
}
