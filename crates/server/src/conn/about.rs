//! What is known of few connections. In: whom a proxy names, what the access log wants. Out: the same.
//!
//! In one box, and none for a connection of which nothing of this is known: an idle one pays for a pointer.
//!
//! Never: decides what is logged.

use std::net::IpAddr;

use crate::access::Access;

#[derive(Debug, Default)]
pub(super) struct About(Option<Box<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Whom it is for, if a proxy has said so.
    client: Option<IpAddr>,
    access: Option<Access>,
}

impl About {
    pub(super) fn new(access: Option<Access>) -> Self {
        let client = None;
        Self(access.map(|access| {
            Box::new(Known {
                client,
                access: Some(access),
            })
        }))
    }

    /// A proxy has said whom it is for.
    pub(super) fn know(&mut self, client: IpAddr) {
        let known = self.0.get_or_insert_default();
        known.client = Some(client);
        if let Some(access) = &mut known.access {
            access.is_for(client);
        }
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.0.as_ref()?.client
    }

    pub(super) fn access(&self) -> Option<&Access> {
        self.0.as_ref()?.access.as_ref()
    }

    #[inline]
    pub(super) fn access_mut(&mut self) -> Option<&mut Access> {
        self.0.as_mut()?.access.as_mut()
    }
}
