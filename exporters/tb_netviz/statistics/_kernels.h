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

/* The largest value, NaN aside. As integers in the same order, since the compiler has no reduction of floats that may be
   NaN. */
TARGET static float KERNEL(peak)(const float *restrict values, int64_t rows) {
    int32_t largest = order_of(-INFINITY);
#pragma omp simd reduction(max : largest)
    for (int64_t row = 0; row < rows; row++) {
        int32_t order = order_of(values[row]);
        largest = order > largest ? order : largest;
    }
    if (largest <= order_of(INFINITY))
        return value_of(largest);
    float peak = -INFINITY;
    for (int64_t row = 0; row < rows; row++)
        peak = larger(values[row], peak);
    return peak;
}

TARGET static void KERNEL(plane)(const float *restrict values, int64_t rows, float low, float high,
                                 Plane *restrict sums) {
    double total = 0, squares = 0;
#pragma omp simd reduction(+ : total, squares)
    for (int64_t row = 0; row < rows; row++) {
        double value = values[row];
        total += value;
        squares += value * value;
    }
    int32_t zeros = 0, saturated = 0, positive = 0, magnitude = 0;
#pragma omp simd reduction(+ : zeros, saturated, positive) reduction(max : magnitude)
    for (int64_t row = 0; row < rows; row++) {
        float value = values[row];
        int32_t bits = (int32_t)magnitude_bits(value);
        zeros += value == 0;
        saturated += (value <= low) | (value >= high);
        positive += value > 0;
        magnitude = bits > magnitude ? bits : magnitude;
    }
    if ((uint32_t)magnitude >= INFINITE)
        add_careful_plane(values, rows, low, high, sums);
    else
        *sums = (Plane){total,    squares, zeros, saturated, 0, positive, KERNEL(peak)(values, rows),
                        value_of(magnitude)};
}

/* Units lie side by side from here on; rows are `step` elements apart. */
TARGET static inline void KERNEL(some_peaks)(const float *restrict values, int64_t step, const int rows, int width,
                                             float *restrict peaks) {
#pragma omp simd
    for (int unit = 0; unit < width; unit++) {
        float peak = peaks[unit];
        for (int row = 0; row < rows; row++)
            peak = larger(values[row * step + unit], peak);
        peaks[unit] = peak;
    }
}

TARGET static void KERNEL(peaks)(const float *restrict values, int64_t step, int64_t rows, int width,
                                 float *restrict peaks) {
    for (; rows >= GROUP; rows -= GROUP, values += GROUP * step)
        KERNEL(some_peaks)(values, step, GROUP, width, peaks);
    for (; rows > 0; rows--, values += step)
        KERNEL(some_peaks)(values, step, 1, width, peaks);
}

TARGET static inline void KERNEL(some_rows)(const float *restrict values, int64_t step, const int rows, int width,
                                            float low, float high, Columns *restrict sums) {
#pragma omp simd
    for (int unit = 0; unit < width; unit++) {
        double total = 0, squares = 0;
        int32_t zeros = 0, saturated = 0, positive = 0;
        float peak = sums->peak[unit], magnitude = sums->magnitude[unit];
        for (int row = 0; row < rows; row++) {
            float value = values[row * step + unit];
            total += value;
            squares += (double)value * value;
            zeros += value == 0;
            saturated += (value <= low) | (value >= high);
            positive += value > 0;
            peak = larger(value, peak);
            magnitude = larger(fabsf(value), magnitude);
        }
        sums->sum[unit] += total;
        sums->squares[unit] += squares;
        sums->zeros[unit] += zeros;
        sums->saturated[unit] += saturated;
        sums->positive[unit] += positive;
        sums->peak[unit] = peak;
        sums->magnitude[unit] = magnitude;
    }
}

TARGET static int KERNEL(are_finite)(const float *restrict values, int64_t step, int rows, int width) {
    int32_t largest = 0;
    for (int row = 0; row < rows; row++, values += step) {
#pragma omp simd reduction(max : largest)
        for (int unit = 0; unit < width; unit++) {
            int32_t bits = (int32_t)magnitude_bits(values[unit]);
            largest = bits > largest ? bits : largest;
        }
    }
    return (uint32_t)largest < INFINITE;
}

TARGET static void KERNEL(rows)(const float *restrict values, int64_t step, int64_t rows, int width, float low,
                                float high, Columns *restrict sums) {
    for (; rows > 0; rows -= GROUP, values += GROUP * step) {
        int some = rows < GROUP ? (int)rows : GROUP;
        if (!KERNEL(are_finite)(values, step, some, width))
            add_careful_rows(values, step, some, width, low, high, sums);
        else if (some == GROUP)
            KERNEL(some_rows)(values, step, GROUP, width, low, high, sums);
        else
            for (int row = 0; row < some; row++)
                KERNEL(some_rows)(values + row * step, step, 1, width, low, high, sums);
    }
}

/* Ends the rows of an item, of which all are one sample or each is one. */
TARGET static void KERNEL(close)(Columns *restrict sums, int32_t rows, int width, int by_row) {
    const double share = rows == 1 ? NAN : 1.0 / rows;
    int32_t some = 0;
#pragma omp simd reduction(| : some)
    for (int unit = 0; unit < width; unit++) {
        double sum = sums->sum[unit];
        sums->total[unit] += sum;
        sums->means[unit] += sum * sum * share;
        some |= sums->odd[unit];
        sums->fired[unit] += by_row ? sums->positive[unit] : sums->peak[unit] > 0;
        sums->positive[unit] = 0;
        sums->largest[unit] = larger(sums->peak[unit], sums->largest[unit]);
        sums->peak[unit] = -INFINITY;
    }
    if (some)
        count_odd(sums, rows, width);
    memset(sums->sum, 0, (size_t)width * sizeof *sums->sum);
}

TARGET static void KERNEL(squares)(const float *restrict values, int64_t units, double *restrict sums) {
#pragma omp simd
    for (int64_t unit = 0; unit < units; unit++)
        sums[unit] += (double)values[unit] * values[unit];
}

#undef KERNEL
#undef TARGET
