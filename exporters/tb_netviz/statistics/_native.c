/* Reductions of float32 vectors, and of outputs to sums of their units, in one pass over memory and float64 sums.

   The arithmetic is that of partials.py and units.py; tests compare it with NumPy. Without a compiler the package
   installs without this module and reduces with torch's own operations, at about three times the cost.

   All results go into writable buffers, and other threads run meanwhile. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#endif

#define BLOCK 4096 /* Elements whose counts fit into 32 bits, and whose sums lose nothing to those of the others. */
#define INFINITE 0x7f800000u
#define PAST_CACHES 16384 /* Elements of a tensor from which on a copy of it goes past the caches. */

/* The bins of tb_netviz_plugin/schema/bins.py. */
enum { ZERO_BIN, NONFINITE_BIN, BELOW_BIN, FIRST_BIN, BINS = 128 };
#define LOWEST_EXPONENT (-104)

typedef struct {
    int64_t vector, other, elements;
} Job;

typedef struct {
    double squares, magnitudes, total, zeros, nonfinite, largest, product, other_squares;
} Gradient;

typedef struct {
    double squares, difference_squares;
} Weight;

static inline uint32_t magnitude_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}

/* An output, whose values lie `step` elements from each other: `items` along axis 0, in each `rows` values of a unit. */
typedef struct {
    const float *values;
    int64_t items, rows, units, item_step, row_step, unit_step;
    int64_t stride, start; /* The items that count. */
    int by_row;            /* Whether a sample is a row, or an item. */
    float low, high;       /* The function is flat up to the one and from the other on. */
} Output;

/* As in units.py. */
enum { TOTAL, SQUARES, MEANS, ZEROS, SATURATED, NONFINITE, FIRED, LARGEST, MAGNITUDE, UNIT_SUMS };

#define WIDTH 256 /* Units that are reduced together where they lie side by side: their sums fit into the first cache. */
#define GROUP 8   /* Rows that are added in registers, before they are added to the sums. */

typedef struct {
    double total[WIDTH], squares[WIDTH], means[WIDTH];
    int32_t zeros[WIDTH], saturated[WIDTH], nonfinite[WIDTH];
    int32_t positive[WIDTH], fired[WIDTH]; /* Values above zero in the rows, and samples with one. */
    float largest[WIDTH], magnitude[WIDTH];
    /* Of the rows that are being counted: their sum, how many are not finite, and the largest. */
    double sum[WIDTH];
    int32_t odd[WIDTH];
    float peak[WIDTH];
} Columns;

/* Of one unit in one item. */
typedef struct {
    double total, squares;
    int32_t zeros, saturated, nonfinite, positive;
    float largest, magnitude;
} Plane;

/* Maps floats to integers in their order; NaN comes before -INFINITY or after INFINITY. */
static inline int32_t order_of(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

static inline float value_of(int32_t order) {
    float value;
    order ^= (order >> 31) & 0x7fffffff;
    memcpy(&value, &order, sizeof value);
    return value;
}

static inline float larger(float value, float than) { return value > than ? value : than; } /* NaN is not. */

static inline void add_value(float value, float low, float high, Plane *sums) {
    sums->positive += value > 0;
    sums->largest = larger(value, sums->largest);
    if (magnitude_bits(value) >= INFINITE) {
        sums->nonfinite++;
        return;
    }
    sums->total += value;
    sums->squares += (double)value * value;
    sums->zeros += value == 0;
    sums->saturated += value <= low || value >= high;
    sums->magnitude = larger(fabsf(value), sums->magnitude);
}

/* What an item adds to the squares of its mean: the sum of its finite values, squared, over their number. Of one value
   no deviation from a mean is defined. */
static inline double mean_square(double sum, int32_t rows, int32_t odd) {
    return rows == 1 ? NAN : sum * sum / (double)(rows > odd ? rows - odd : 1);
}

static const Plane no_plane = {.largest = -INFINITY};

/* A plane with values that are not finite, one by one. */
static void add_careful_plane(const float *values, int64_t rows, float low, float high, Plane *sums) {
    *sums = no_plane;
    for (int64_t row = 0; row < rows; row++)
        add_value(values[row], low, high, sums);
}

/* Rows with values that are not finite, one by one. */
static void add_careful_rows(const float *values, int64_t step, int rows, int width, float low, float high,
                             Columns *sums) {
    for (int unit = 0; unit < width; unit++) {
        Plane plane = no_plane;
        for (int row = 0; row < rows; row++)
            add_value(values[row * step + unit], low, high, &plane);
        sums->sum[unit] += plane.total;
        sums->squares[unit] += plane.squares;
        sums->zeros[unit] += plane.zeros;
        sums->saturated[unit] += plane.saturated;
        sums->odd[unit] += plane.nonfinite;
        sums->positive[unit] += plane.positive;
        sums->peak[unit] = larger(plane.largest, sums->peak[unit]);
        sums->magnitude[unit] = larger(plane.magnitude, sums->magnitude[unit]);
    }
}

/* Counts what is not finite in the rows of an item, and adds to the squares of means what those have more without it. */
static void count_odd(Columns *sums, int32_t rows, int width) {
    for (int unit = 0; unit < width; unit++) {
        double sum = sums->sum[unit];
        sums->means[unit] += mean_square(sum, rows, sums->odd[unit]) - mean_square(sum, rows, 0);
        sums->nonfinite[unit] += sums->odd[unit];
        sums->odd[unit] = 0;
    }
}

typedef struct {
    uint32_t (*gradient)(const float *restrict, int, Gradient *restrict);
    uint32_t (*pair)(const float *restrict, const float *restrict, int, Gradient *restrict);
    void (*weight)(const float *restrict, int, Weight *restrict);
    void (*update)(const float *restrict, const float *restrict, int, Weight *restrict);
    void (*copy)(const float *restrict, float *restrict, int64_t);
    float (*peak)(const float *restrict, int64_t);
    void (*plane)(const float *restrict, int64_t, float, float, Plane *restrict);
    void (*peaks)(const float *restrict, int64_t, int64_t, int, float *restrict);
    void (*rows)(const float *restrict, int64_t, int64_t, int, float, float, Columns *restrict);
    void (*close)(Columns *restrict, int32_t, int, int);
    void (*squares)(const float *restrict, int64_t, double *restrict);
} Kernels;

static void copy_anywhere(const float *restrict from, float *restrict to, int64_t elements) {
    memcpy(to, from, (size_t)elements * sizeof *from);
}

#define TARGET
#define KERNEL(name) name##_anywhere
#include "_kernels.h"
static const Kernels anywhere = {gradient_anywhere, pair_anywhere,  weight_anywhere, update_anywhere,
                             copy_anywhere,     peak_anywhere,  plane_anywhere,  peaks_anywhere,
                             rows_anywhere,     close_anywhere, squares_anywhere};

#if defined(__GNUC__) && defined(__x86_64__)
#define TARGET __attribute__((target("avx2,fma")))
#define KERNEL(name) name##_avx2
#include "_kernels.h"

/* A copy that is read only after the optimizer's step goes past the caches: it takes a third less time, since its
   memory is not read first. */
__attribute__((target("avx2"))) static void copy_avx2(const float *restrict from, float *restrict to, int64_t elements) {
    int64_t i = 0;
    if ((uintptr_t)to % sizeof(__m256) == 0 && elements >= PAST_CACHES)
        for (; i + 8 <= elements; i += 8)
            _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
    _mm_sfence();
    copy_anywhere(from + i, to + i, elements - i);
}

static const Kernels avx2 = {gradient_avx2, pair_avx2,  weight_avx2, update_avx2, copy_avx2,   peak_avx2,
                             plane_avx2,    peaks_avx2, rows_avx2,   close_avx2,  squares_avx2};

static const Kernels *best_kernels(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2 : &anywhere;
}
#else
static const Kernels *best_kernels(void) { return &anywhere; }
#endif

static const Kernels *kernels = &anywhere; /* Chosen when the module is loaded. */

static double nonfinite(const float *vector, int64_t elements) {
    int64_t count = 0;
    for (int64_t i = 0; i < elements; i++)
        count += magnitude_bits(vector[i]) >= INFINITE;
    return (double)count;
}

static int block_at(int64_t first, int64_t elements) {
    return elements - first < BLOCK ? (int)(elements - first) : BLOCK;
}

static void reduce_gradient(const Job *job, void *result) {
    Gradient *sums = result;
    const float *vector = (const float *)(intptr_t)job->vector, *other = (const float *)(intptr_t)job->other;
    uint32_t largest = 0;
    memset(sums, 0, sizeof *sums);
    for (int64_t first = 0; first < job->elements; first += BLOCK) {
        int count = block_at(first, job->elements);
        uint32_t bits = other ? kernels->pair(vector + first, other + first, count, sums)
                              : kernels->gradient(vector + first, count, sums);
        largest = bits > largest ? bits : largest;
    }
    float value;
    memcpy(&value, &largest, sizeof value);
    sums->largest = value;
    if (largest >= INFINITE)
        sums->nonfinite = nonfinite(vector, job->elements);
}

static void reduce_weight(const Job *job, void *result) {
    Weight *sums = result;
    const float *vector = (const float *)(intptr_t)job->vector, *other = (const float *)(intptr_t)job->other;
    memset(sums, 0, sizeof *sums);
    for (int64_t first = 0; first < job->elements; first += BLOCK) {
        int count = block_at(first, job->elements);
        if (other)
            kernels->update(vector + first, other + first, count, sums);
        else
            kernels->weight(vector + first, count, sums);
    }
}

static int bin_of(uint32_t bits) {
    if (bits == 0)
        return ZERO_BIN;
    if (bits >= INFINITE)
        return NONFINITE_BIN;
    int exponent = (int)(bits >> 23) - 127;
    if (exponent < LOWEST_EXPONENT)
        return BELOW_BIN;
    int bin = FIRST_BIN + exponent - LOWEST_EXPONENT;
    return bin < BINS ? bin : BINS - 1;
}

/* Counts every `job->other`-th element. */
static void count_bins(const Job *job, void *result) {
    uint16_t *counts = result;
    const float *vector = (const float *)(intptr_t)job->vector;
    memset(counts, 0, BINS * sizeof *counts);
    for (int64_t i = 0; i < job->elements; i += job->other)
        counts[bin_of(magnitude_bits(vector[i]))]++;
}

static inline void raise_to(float value, double *largest) {
    if (value > *largest)
        *largest = value;
}

/* Adds one unit's plane of an item that counts. */
static void add_plane(const Output *output, const Plane *plane, double *sums) {
    sums[TOTAL * output->units] += plane->total;
    sums[SQUARES * output->units] += plane->squares;
    sums[MEANS * output->units] += mean_square(plane->total, (int32_t)output->rows, plane->nonfinite);
    sums[ZEROS * output->units] += plane->zeros;
    sums[SATURATED * output->units] += plane->saturated;
    sums[NONFINITE * output->units] += plane->nonfinite;
    sums[FIRED * output->units] += output->by_row ? plane->positive : plane->largest > 0;
    raise_to(plane->largest, sums + LARGEST * output->units);
    raise_to(plane->magnitude, sums + MAGNITUDE * output->units);
}

/* Where the values of a unit in an item lie side by side. */
static void reduce_planes(const Output *output, double *sums) {
    for (int64_t item = 0; item < output->items; item++) {
        int counts = item >= output->start && (item - output->start) % output->stride == 0;
        for (int64_t unit = 0; unit < output->units; unit++) {
            const float *values = output->values + item * output->item_step + unit * output->unit_step;
            if (counts) {
                Plane plane;
                kernels->plane(values, output->rows, output->low, output->high, &plane);
                add_plane(output, &plane, sums + unit);
            } else {
                raise_to(kernels->peak(values, output->rows), sums + LARGEST * output->units + unit);
            }
        }
    }
}

/* The largest values of all items, of `width` units that lie side by side. */
static void find_peaks(const Output *output, const float *values, int width, float *peaks) {
    if (output->rows == 1)
        kernels->peaks(values, output->item_step, output->items, width, peaks);
    else if (output->item_step == output->rows * output->row_step)
        kernels->peaks(values, output->row_step, output->items * output->rows, width, peaks);
    else
        for (int64_t item = 0; item < output->items; item++)
            kernels->peaks(values + item * output->item_step, output->row_step, output->rows, width, peaks);
}

static void count_rows(const Output *output, const float *values, int width, Columns *sums) {
    if (output->rows == 1) {
        int64_t items = output->items <= output->start ? 0 : (output->items - output->start - 1) / output->stride + 1;
        kernels->rows(values + output->start * output->item_step, output->stride * output->item_step, items, width,
                      output->low, output->high, sums);
        kernels->close(sums, 1, width, 1);
        return;
    }
    for (int64_t item = output->start; item < output->items; item += output->stride) {
        kernels->rows(values + item * output->item_step, output->row_step, output->rows, width, output->low,
                      output->high, sums);
        kernels->close(sums, (int32_t)output->rows, width, output->by_row);
    }
}

static void write_counts(const int32_t *counts, int width, double *sums) {
    for (int unit = 0; unit < width; unit++)
        sums[unit] = counts[unit];
}

static void write_extremes(const float *extremes, int width, double *sums) {
    for (int unit = 0; unit < width; unit++)
        sums[unit] = extremes[unit];
}

/* One sum after the other: rows of results that are a power of two apart fall into the same places of the cache. */
static void write_sums(const Columns *columns, int width, int64_t units, double *sums) {
    memcpy(sums + TOTAL * units, columns->total, (size_t)width * sizeof *sums);
    memcpy(sums + SQUARES * units, columns->squares, (size_t)width * sizeof *sums);
    memcpy(sums + MEANS * units, columns->means, (size_t)width * sizeof *sums);
    write_counts(columns->zeros, width, sums + ZEROS * units);
    write_counts(columns->saturated, width, sums + SATURATED * units);
    write_counts(columns->nonfinite, width, sums + NONFINITE * units);
    write_counts(columns->fired, width, sums + FIRED * units);
    write_extremes(columns->largest, width, sums + LARGEST * units);
    write_extremes(columns->magnitude, width, sums + MAGNITUDE * units);
}

/* Where the units lie side by side. */
static void reduce_columns(const Output *output, double *sums) {
    int64_t units = output->units;
    for (int64_t first = 0; first < units; first += WIDTH, sums += WIDTH) {
        int width = units - first < WIDTH ? (int)(units - first) : WIDTH;
        Columns columns;
        memset(&columns, 0, sizeof columns);
        for (int unit = 0; unit < width; unit++)
            columns.largest[unit] = columns.peak[unit] = -INFINITY;
        if (output->stride > 1 || output->start > 0)
            find_peaks(output, output->values + first, width, columns.largest);
        count_rows(output, output->values + first, width, &columns);
        write_sums(&columns, width, units, sums);
    }
}

static void reduce_output(const Output *output, double *sums) {
    if (output->unit_step == 1) {
        reduce_columns(output, sums);
        return;
    }
    memset(sums, 0, UNIT_SUMS * (size_t)output->units * sizeof *sums);
    for (int64_t unit = 0; unit < output->units; unit++)
        sums[LARGEST * output->units + unit] = -INFINITY;
    reduce_planes(output, sums);
}

/* Sums of the squares of each unit's values in the items that count; not finite where a value is not. */
static void reduce_squares(const Output *output, double *sums) {
    memset(sums, 0, (size_t)output->units * sizeof *sums);
    for (int64_t item = output->start; item < output->items; item += output->stride) {
        const float *values = output->values + item * output->item_step;
        if (output->unit_step == 1)
            for (int64_t row = 0; row < output->rows; row++)
                kernels->squares(values + row * output->row_step, output->units, sums);
        else
            for (int64_t unit = 0; unit < output->units; unit++) {
                Weight plane = {0, 0};
                kernels->weight(values + unit * output->unit_step, (int)output->rows, &plane);
                sums[unit] += plane.squares;
            }
    }
}

/* Takes the buffers of jobs and results and does one job after the other. */
static PyObject *reduce_all(PyObject *arguments, size_t result_size, void (*reduce)(const Job *, void *)) {
    Py_buffer jobs, results;
    if (!PyArg_ParseTuple(arguments, "w*w*", &jobs, &results))
        return NULL;
    Py_ssize_t rows = jobs.len / (Py_ssize_t)sizeof(Job);
    int fits = jobs.len == rows * (Py_ssize_t)sizeof(Job) && results.len == rows * (Py_ssize_t)result_size;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t row = 0; row < rows; row++)
            reduce((const Job *)jobs.buf + row, (char *)results.buf + row * (Py_ssize_t)result_size);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_Format(PyExc_ValueError,
                     "expected jobs of %zu bytes and results of %zu bytes a row, got %zd and %zd bytes in all",
                     sizeof(Job), result_size, jobs.len, results.len);
    }
    PyBuffer_Release(&jobs);
    PyBuffer_Release(&results);
    return fits ? Py_NewRef(Py_None) : NULL;
}

static PyObject *gradients(PyObject *module, PyObject *arguments) {
    return reduce_all(arguments, sizeof(Gradient), reduce_gradient);
}

static PyObject *weights(PyObject *module, PyObject *arguments) {
    return reduce_all(arguments, sizeof(Weight), reduce_weight);
}

static PyObject *bins(PyObject *module, PyObject *arguments) {
    return reduce_all(arguments, BINS * sizeof(uint16_t), count_bins);
}

/* Whether there is room for `rows` sums of each unit of an output that can be read. */
static int fits(const Output *output, int rows, const Py_buffer *sums) {
    if (sums->len == rows * output->units * (Py_ssize_t)sizeof(double) && output->stride > 0 && output->start >= 0 &&
        (output->row_step == 1 || output->unit_step == 1))
        return 1;
    PyErr_Format(PyExc_ValueError,
                 "expected room for %d sums of %lld units, units or rows side by side and a stride of at least 1, got "
                 "%zd bytes, steps of %lld and %lld and a stride of %lld",
                 rows, (long long)output->units, sums->len, (long long)output->unit_step, (long long)output->row_step,
                 (long long)output->stride);
    return 0;
}

/* Reduces one output, once the arguments are read. */
static PyObject *reduce_units(const Output *output, int rows, Py_buffer *sums, void (*reduce)(const Output *, double *)) {
    int good = fits(output, rows, sums);
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        reduce(output, sums->buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(sums);
    return good ? Py_NewRef(Py_None) : NULL;
}

static PyObject *units(PyObject *module, PyObject *arguments) {
    long long address;
    Output output;
    Py_buffer sums;
    if (!PyArg_ParseTuple(arguments, "L(LLL)(LLL)(LL)p(ff)w*", &address, &output.items, &output.rows, &output.units,
                          &output.item_step, &output.row_step, &output.unit_step, &output.stride, &output.start,
                          &output.by_row, &output.low, &output.high, &sums))
        return NULL;
    output.values = (const float *)(intptr_t)address;
    return reduce_units(&output, UNIT_SUMS, &sums, reduce_output);
}

static PyObject *squares(PyObject *module, PyObject *arguments) {
    long long address;
    Output output = {0};
    Py_buffer sums;
    if (!PyArg_ParseTuple(arguments, "L(LLL)(LLL)(LL)w*", &address, &output.items, &output.rows, &output.units,
                          &output.item_step, &output.row_step, &output.unit_step, &output.stride, &output.start, &sums))
        return NULL;
    output.values = (const float *)(intptr_t)address;
    return reduce_units(&output, 1, &sums, reduce_squares);
}

static PyObject *copies(PyObject *module, PyObject *arguments) {
    Py_buffer jobs;
    if (!PyArg_ParseTuple(arguments, "w*", &jobs))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < jobs.len / (Py_ssize_t)sizeof(Job); row++) {
        const Job *job = (const Job *)jobs.buf + row;
        kernels->copy((const float *)(intptr_t)job->vector, (float *)(intptr_t)job->other, job->elements);
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&jobs);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"gradients", gradients, METH_VARARGS,
     "gradients(jobs, results): int64 [rows, 3] (address, address of the last gradient or 0, elements) to float64 "
     "[rows, 8] (squares, magnitudes, total, zeros, nonfinite, largest, product, last squares)."},
    {"weights", weights, METH_VARARGS,
     "weights(jobs, results): int64 [rows, 3] (address, address of the weights before or 0, elements) to float64 "
     "[rows, 2] (squares, squares of the difference)."},
    {"bins", bins, METH_VARARGS,
     "bins(jobs, results): int64 [rows, 3] (address, stride, elements) to uint16 [rows, 128], how many elements at that "
     "stride fall into each bin."},
    {"units", units, METH_VARARGS,
     "units(address, (items, rows, units), (item step, row step, unit step), (stride, start), by_row, (low, high), sums): "
     "the values of an output, steps in elements, to float64 [9, units], UNIT_SUMS."},
    {"squares", squares, METH_VARARGS,
     "squares(address, (items, rows, units), (item step, row step, unit step), (stride, start), sums): likewise, to float64 "
     "[units], the sums of squares of the items that count."},
    {"copies", copies, METH_VARARGS, "copies(jobs): int64 [rows, 3] (address, address of the copy, elements)."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    kernels = best_kernels();
    return PyModuleDef_Init(&definition);
}
