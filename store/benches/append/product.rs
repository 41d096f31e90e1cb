//! The store itself, as the node uses it.

use store::{Options, Record, Writer};

use crate::load::Said;
use crate::variant::Subject;

pub(crate) struct Product(Writer);

impl Product {
    pub(crate) fn open(options: &Options) -> Self {
        Self(Writer::open(options).expect("a new file"))
    }
}

impl Subject for Product {
    fn append(&mut self, batch: &[Said], body: &[u8]) {
        let records: Vec<Record<'_>> = batch
            .iter()
            .map(|said| Record {
                conversation: said.conversation,
                seq: None,
                message_id: said.message_id,
                from: said.from,
                client_message_id: said.client_message_id,
                unix_ms: said.unix_ms,
                body,
            })
            .collect();
        let results = self.0.append_batch(&records).expect("a disk that works");
        assert!(results.iter().all(|result| result.is_ok_and(|appended| !appended.is_retry)));
    }
}
