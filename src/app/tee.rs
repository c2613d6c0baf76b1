//! Blob uploads as the proxy sees them, handed to replication, which sends them on.

use bytes::Bytes;

use crate::{
    oci::Digest,
    proxy::{Follower, Following, NewUpload},
    replication::{Origin, Replication, Teed},
};

/// The proxy's follower.
#[derive(Debug, Clone)]
pub(super) struct Tee(pub Replication);

impl Follower for Tee {
    fn follow(&self, upload: &NewUpload<'_>) -> Option<Box<dyn Following>> {
        let origin = upload.origin.map(Origin::parse).unwrap_or_default();
        let teed = self.0.tee(upload.repository, &origin)?;
        Some(Box::new(Upload(teed)))
    }
}

struct Upload(Teed);

impl Following for Upload {
    fn take(&self, data: &Bytes) {
        self.0.take(data);
    }

    fn claim(&self, digest: &Digest, size_bytes: Option<u64>) {
        self.0.claim(digest, size_bytes);
    }

    fn whole(&self) {
        self.0.whole();
    }

    fn commit(&self) {
        self.0.commit();
    }
}
