//! Values in numbered slots. In: a value. Out: an id that stops working when the value is gone.
//!
//! Never: gives an old id access to a slot's next tenant, before a slot had 2^32 of them.

/// A slot and the generation of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotId {
    slot: u32,
    generation: u32,
}

impl SlotId {
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    tenant: Option<T>,
}

/// Slots that are used again, the latest freed first.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    pub(crate) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// # Panics
    ///
    /// Past 2^32 tenants; the caller's cap is below.
    pub(crate) fn insert(&mut self, tenant: T) -> SlotId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).expect("the caller's cap is below");
            self.slots.push(Slot {
                generation: 0,
                tenant: None,
            });
            slot
        });
        let place = &mut self.slots[slot as usize];
        place.tenant = Some(tenant);
        SlotId {
            slot,
            generation: place.generation,
        }
    }

    pub(crate) fn get(&self, id: SlotId) -> Option<&T> {
        let place = self.slots.get(id.slot as usize)?;
        place
            .tenant
            .as_ref()
            .filter(|_| place.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation == id.generation {
            place.tenant.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn remove(&mut self, id: SlotId) -> Option<T> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation != id.generation {
            return None;
        }
        let tenant = place.tenant.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(tenant)
    }

    /// Slots that there are, taken or not.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The tenant of a slot, by its number.
    pub(crate) fn at(&self, slot: usize) -> Option<(SlotId, &T)> {
        let place = self.slots.get(slot)?;
        let id = SlotId {
            slot: u32::try_from(slot).ok()?,
            generation: place.generation,
        };
        Some((id, place.tenant.as_ref()?))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots
            .iter_mut()
            .filter_map(|place| place.tenant.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_misses_the_next_tenant() {
        let mut slots = Slots::default();
        let first = slots.insert('a');
        assert_eq!(slots.remove(first), Some('a'));
        assert_eq!(slots.remove(first), None);
        let second = slots.insert('b');
        assert_ne!(first, second);
        assert_eq!(second.slot, first.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.iter_mut().count(), 1);
    }

    #[test]
    fn an_id_comes_back_from_its_bits() {
        let mut slots = Slots::default();
        for _ in 0..3 {
            let id = slots.insert(());
            slots.remove(id);
        }
        slots.insert(());
        for id in [slots.insert(()), slots.insert(())] {
            assert_eq!(SlotId::from_bits(id.to_bits()), id);
        }
        let nothing = SlotId::from_bits(u64::MAX);
        assert_eq!(slots.get(nothing), None);
        assert_eq!(slots.remove(nothing), None);
    }
}
