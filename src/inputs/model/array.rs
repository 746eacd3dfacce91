//! A tensor outside any network: a shape and its float32 elements.

use thiserror::Error;

/// Float32 elements in row-major order (last index fastest), as many as `shape` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// The elements given don't fill the shape given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("shape {shape:?} does not hold exactly the {elements} elements given")]
pub struct ArrayError {
    /// The shape asked for.
    pub shape: Vec<usize>,
    /// The number of elements given.
    pub elements: usize,
}

impl Array {
    /// An array of `shape` over `data` in row-major order.
    ///
    /// # Errors
    /// If the product of `shape` isn't `data.len()`. The empty shape is a scalar's, with one element.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, ArrayError> {
        match element_count(&shape) {
            Some(count) if count == data.len() => Ok(Self { shape, data }),
            _ => Err(ArrayError {
                elements: data.len(),
                shape,
            }),
        }
    }

    /// The same elements in another shape.
    ///
    /// # Panics
    /// If it does not hold exactly as many.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Self {
        Self::new(shape, self.data).expect("as many elements as before")
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The index along each dimension of the element at `offset` in [`Array::data`].
    pub(super) fn index_of(&self, offset: usize) -> Vec<usize> {
        let mut rest = offset;
        let mut index = vec![0; self.shape.len()];
        for (place, &dim) in index.iter_mut().zip(&self.shape).rev() {
            *place = rest % dim;
            rest /= dim;
        }
        index
    }
}

/// Elements of a tensor of this shape; `None` if more than a `usize` counts.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere makes the product zero, however large the dimensions before it.
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1usize, |count, &dim| count.checked_mul(dim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_must_hold_exactly_the_elements_given() {
        let error = Array::new(vec![2, 3], vec![0.0; 5]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "shape [2, 3] does not hold exactly the 5 elements given"
        );
        assert!(Array::new(vec![usize::MAX, 2], vec![]).is_err());
        assert!(Array::new(vec![], vec![1.0]).is_ok());
    }

    #[test]
    fn an_offset_is_an_index_along_each_dimension() {
        let array = Array::new(vec![2, 3, 4], vec![0.0; 24]).unwrap();
        assert_eq!(array.index_of(0), [0, 0, 0]);
        assert_eq!(array.index_of(23), [1, 2, 3]);
        assert_eq!(array.index_of(17), [1, 1, 1]);
    }
}
