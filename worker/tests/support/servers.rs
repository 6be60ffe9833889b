//! Postgres and RabbitMQ for the test run: private servers, unless the environment names others.

use std::sync::{Mutex, OnceLock};

use local_services::{Purpose, Services};

/// The servers of this test run.
pub fn servers() -> &'static Services {
    static SERVERS: OnceLock<Services> = OnceLock::new();
    SERVERS.get_or_init(|| Services::start(Purpose::Tests).unwrap())
}

/// A virtual host that no other test uses at the same time. Creating one takes seconds, so they are reused.
pub struct VirtualHost {
    number: u32,
}

static IN_USE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

impl VirtualHost {
    pub fn acquire() -> Self {
        let mut in_use = IN_USE.lock().unwrap();
        let number = (0..).find(|number| !in_use.contains(number)).unwrap();
        in_use.push(number);
        drop(in_use);
        let host = Self { number };
        servers().create_vhost(&host.name()).unwrap();
        host
    }

    fn name(&self) -> String {
        format!("worker-{}", self.number)
    }

    pub fn url(&self) -> String {
        servers().amqp_url(&self.name())
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        IN_USE.lock().unwrap().retain(|number| *number != self.number);
    }
}
