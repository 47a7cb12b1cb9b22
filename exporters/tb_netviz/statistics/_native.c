/* Reductions of float32 vectors, in one pass over memory and float64 sums.

   The arithmetic is that of partials.py; tests compare it with NumPy. Without a compiler the package installs without
   this module and reduces with torch's own operations, at about three times the cost.

   Every function takes two writable buffers, jobs and results, one row a vector, and lets other threads run. */

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

typedef struct {
    uint32_t (*gradient)(const float *restrict, int, Gradient *restrict);
    uint32_t (*pair)(const float *restrict, const float *restrict, int, Gradient *restrict);
    void (*weight)(const float *restrict, int, Weight *restrict);
    void (*update)(const float *restrict, const float *restrict, int, Weight *restrict);
    void (*copy)(const float *restrict, float *restrict, int64_t);
} Kernels;

static void copy_anywhere(const float *restrict from, float *restrict to, int64_t elements) {
    memcpy(to, from, (size_t)elements * sizeof *from);
}

#define TARGET
#define KERNEL(name) name##_anywhere
#include "_kernels.h"
static const Kernels anywhere = {gradient_anywhere, pair_anywhere, weight_anywhere, update_anywhere, copy_anywhere};

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

static const Kernels avx2 = {gradient_avx2, pair_avx2, weight_avx2, update_avx2, copy_avx2};

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

static void reduce_gradient(const Job *job, Gradient *sums) {
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

static void reduce_weight(const Job *job, Weight *sums) {
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
static void count_bins(const Job *job, uint16_t *counts) {
    const float *vector = (const float *)(intptr_t)job->vector;
    memset(counts, 0, BINS * sizeof *counts);
    for (int64_t i = 0; i < job->elements; i += job->other)
        counts[bin_of(magnitude_bits(vector[i]))]++;
}

/* Takes the two buffers; returns the number of rows, or -1 with an exception set. */
static Py_ssize_t open_buffers(PyObject *arguments, size_t result_size, Py_buffer *jobs, Py_buffer *results) {
    if (!PyArg_ParseTuple(arguments, "w*w*", jobs, results))
        return -1;
    Py_ssize_t rows = jobs->len / (Py_ssize_t)sizeof(Job);
    if (jobs->len == rows * (Py_ssize_t)sizeof(Job) && results->len == rows * (Py_ssize_t)result_size)
        return rows;
    PyErr_Format(PyExc_ValueError, "expected jobs of %zu bytes and results of %zu bytes a row, got %zd and %zd bytes in all",
                 sizeof(Job), result_size, jobs->len, results->len);
    PyBuffer_Release(jobs);
    PyBuffer_Release(results);
    return -1;
}

static PyObject *gradients(PyObject *module, PyObject *arguments) {
    Py_buffer jobs, results;
    Py_ssize_t rows = open_buffers(arguments, sizeof(Gradient), &jobs, &results);
    if (rows < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < rows; row++)
        reduce_gradient((const Job *)jobs.buf + row, (Gradient *)results.buf + row);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&jobs);
    PyBuffer_Release(&results);
    Py_RETURN_NONE;
}

static PyObject *weights(PyObject *module, PyObject *arguments) {
    Py_buffer jobs, results;
    Py_ssize_t rows = open_buffers(arguments, sizeof(Weight), &jobs, &results);
    if (rows < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < rows; row++)
        reduce_weight((const Job *)jobs.buf + row, (Weight *)results.buf + row);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&jobs);
    PyBuffer_Release(&results);
    Py_RETURN_NONE;
}

static PyObject *bins(PyObject *module, PyObject *arguments) {
    Py_buffer jobs, results;
    Py_ssize_t rows = open_buffers(arguments, BINS * sizeof(uint16_t), &jobs, &results);
    if (rows < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < rows; row++)
        count_bins((const Job *)jobs.buf + row, (uint16_t *)results.buf + row * BINS);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&jobs);
    PyBuffer_Release(&results);
    Py_RETURN_NONE;
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
    {"copies", copies, METH_VARARGS, "copies(jobs): int64 [rows, 3] (address, address of the copy, elements)."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    kernels = best_kernels();
    return PyModuleDef_Init(&definition);
}
