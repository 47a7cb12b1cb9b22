/* The loops of _native.c over one block, for the processor that TARGET names. Included once for each.

   Reductions are declared to the compiler, which may then add in any order: that is all that vectorizing them needs. */

/* A block is read from the first cache in the second loop; one loop over integers and doubles would be half as fast.
   Returns the bits of the largest magnitude: those of floats are in the order of the floats, NaN last. */
TARGET static uint32_t KERNEL(extremes)(const float *restrict vector, int count, Gradient *restrict sums) {
    int32_t zeros = 0, largest = 0;
#pragma omp simd reduction(+ : zeros) reduction(max : largest)
    for (int i = 0; i < count; i++) {
        int32_t bits = (int32_t)magnitude_bits(vector[i]);
        zeros += bits == 0;
        largest = bits > largest ? bits : largest;
    }
    sums->zeros += zeros;
    return (uint32_t)largest;
}

TARGET static uint32_t KERNEL(gradient)(const float *restrict vector, int count, Gradient *restrict sums) {
    double squares = 0, magnitudes = 0, total = 0;
#pragma omp simd reduction(+ : squares, magnitudes, total)
    for (int i = 0; i < count; i++) {
        double value = vector[i];
        squares += value * value;
        magnitudes += fabs(value);
        total += value;
    }
    sums->squares += squares;
    sums->magnitudes += magnitudes;
    sums->total += total;
    return KERNEL(extremes)(vector, count, sums);
}

TARGET static uint32_t KERNEL(pair)(const float *restrict vector, const float *restrict other, int count,
                                    Gradient *restrict sums) {
    double squares = 0, magnitudes = 0, total = 0, product = 0, other_squares = 0;
#pragma omp simd reduction(+ : squares, magnitudes, total, product, other_squares)
    for (int i = 0; i < count; i++) {
        double value = vector[i], last = other[i];
        squares += value * value;
        magnitudes += fabs(value);
        total += value;
        product += value * last;
        other_squares += last * last;
    }
    sums->squares += squares;
    sums->magnitudes += magnitudes;
    sums->total += total;
    sums->product += product;
    sums->other_squares += other_squares;
    return KERNEL(extremes)(vector, count, sums);
}

TARGET static void KERNEL(weight)(const float *restrict vector, int count, Weight *restrict sums) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int i = 0; i < count; i++) {
        double value = vector[i];
        squares += value * value;
    }
    sums->squares += squares;
}

TARGET static void KERNEL(update)(const float *restrict vector, const float *restrict other, int count,
                                  Weight *restrict sums) {
    double squares = 0, differences = 0;
#pragma omp simd reduction(+ : squares, differences)
    for (int i = 0; i < count; i++) {
        double value = vector[i], difference = value - other[i];
        squares += value * value;
        differences += difference * difference;
    }
    sums->squares += squares;
    sums->difference_squares += differences;
}

#undef KERNEL
#undef TARGET
