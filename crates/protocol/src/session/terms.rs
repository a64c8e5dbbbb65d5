//! What a worker keeps with each subscription of a session. In: what was asked and granted. Out: a few bytes.
//!
//! Never: allocates.

use fanfare_hub::Time;

use super::Number;

/// Who began a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A subscribe command.
    #[default]
    Client,
    /// A token, the config, the backend or the API: the client knows of it from the connect reply or a push.
    Server,
}

/// What was agreed of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What of the session waits for its answer; means nothing once it is live.
    pub number: Number,
    /// Who began it.
    pub origin: Origin,
    /// It is told of holes.
    pub is_positioned: bool,
    /// It may recover.
    pub is_recoverable: bool,
    /// It is told who comes and goes.
    pub gets_join_leave: bool,
    /// The engine has an entry for it.
    pub is_member: bool,
    /// Seconds since the Unix epoch; 0: it does not expire.
    expire_at: u32,
}

const _: () = assert!(size_of::<Terms>() <= 16);

impl Terms {
    /// Those of a subscriber that is told what is published, and no more.
    #[must_use]
    pub fn plain(is_member: bool) -> Self {
        Self {
            is_member,
            ..Self::default()
        }
    }

    /// When it ends, if it does.
    #[must_use]
    pub fn expire_at(&self) -> Option<Time> {
        (self.expire_at > 0).then(|| Time::from_millis(u64::from(self.expire_at) * 1000))
    }

    /// Makes it end then; never if none.
    pub fn set_expire_at(&mut self, at: Option<Time>) {
        let seconds = at.map_or(0, |at| at.as_millis().div_ceil(1000).max(1));
        self.expire_at = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
}
