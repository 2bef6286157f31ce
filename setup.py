"""Builds the extension modules and puts a BLAS beside them; everything else is in pyproject.toml.

Environment variables:

TENSORGRAD_BLAS   bundled (the default) copies the library of scipy-openblas32 into the package,
                  system takes the system's BLAS, none leaves the plain matrix product.
TENSORGRAD_DEBUG  1 builds with bounds checks and AddressSanitizer, in a build directory of its own.
"""

import filecmp
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

DEBUG = os.environ.get("TENSORGRAD_DEBUG", "0") not in ("", "0")
BLAS = os.environ.get("TENSORGRAD_BLAS") or "bundled"

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "boundscheck": True,
    "wraparound": True,
    "cdivision": True,
    "embedsignature": False,
    "initializedcheck": False,
}
# The oldest NumPy whose C API may be called; NumPy 1.26 is served by that of 1.25.
MACROS = [
    ("NPY_NO_DEPRECATED_API", "NPY_1_25_API_VERSION"),
    ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION"),
]
HEADERS = Path("tensorgrad/_core"), Path("tensorgrad/kernels/cpu")
WARNINGS = ["-std=gnu11", "-Wno-unused-function"]
if DEBUG:
    COMPILE_ARGS = ["-O1", "-g", "-fsanitize=address", "-fno-omit-frame-pointer"]
    LINK_ARGS = ["-fsanitize=address"]
else:
    # -g0 and -s: Python's own flags often ask for debug information, which would triple the size. Nothing here unwinds
    # a stack.
    COMPILE_ARGS = [
        "-O2", "-g0", "-ftree-vectorize", "-fvisibility=hidden",
        "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
    ]  # fmt: skip
    LINK_ARGS = ["-Wl,-s"]
# Compiled for size: what these modules do by themselves is little beside the work that they call.
COLD = {
    "assembly", "complex_numbers", "contraction", "conv", "diagonal", "least_squares", "linalg", "padding", "pooling",
    "special", "special_functions", "spectral", "statistics", "strided", "windows",
}  # fmt: skip
COMPILE_ARGS += ["-fno-math-errno", "-fno-trapping-math", *WARNINGS]


def cpu_count():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def floor_plans(path, found):
    """Add to `found` every .pxd and header that a source includes or cimports, directly or not."""
    text = path.read_text(encoding="utf-8")
    names = re.findall(r'(?:#\s*include|extern from)\s+"([^"]+)"', text)
    for module, cimported in re.findall(r"^(?:from\s+(\S+)\s+)?cimport\s+(\S+)", text, re.MULTILINE):
        names.append((module or cimported).replace(".", "/") + ".pxd")
    own = path.with_suffix(".pxd")
    for target in [own, *(directory / name for name in names for directory in (Path("."), path.parent, *HEADERS))]:
        if target.is_file() and str(target) not in found:
            found.add(str(target))
            floor_plans(target, found)
    return found


def module(path):
    """One module, from one .pyx; its objects go into a `Bundle`."""
    return Extension(
        ".".join(path.with_suffix("").parts),
        sources=[str(path)],
        depends=sorted(floor_plans(path, set())),
        include_dirs=[str(directory) for directory in HEADERS],
        define_macros=MACROS,
        extra_compile_args=COMPILE_ARGS if DEBUG or path.stem not in COLD else [*COMPILE_ARGS, "-Os"],
    )


class Bundle(Extension):
    """All modules in one shared object, where tensorgrad/_loading.py finds them; it says which they are."""

    def __init__(self, name, parts):
        super().__init__(
            name,
            sources=[source for part in parts for source in part.sources],
            depends=sorted({path for part in parts for path in part.depends}),
            extra_link_args=LINK_ARGS,
            libraries=["m", "dl"],
        )
        self.parts = parts

    def write_index(self, path):
        """The C source of the module that names the others."""
        own = self.name.rpartition(".")[2]
        names = "".join([f'    "{part.name}",\n' for part in sorted(self.parts, key=lambda part: part.name)])
        text = INDEX.replace("OWN_NAME", own).replace("MODULE_NAMES", names)
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


INDEX = """\
#include <Python.h>

static const char *const names[] = {
MODULE_NAMES};

static int fill(PyObject *module) {
    const Py_ssize_t n = (Py_ssize_t)(sizeof names / sizeof *names);
    PyObject *tuple = PyTuple_New(n);
    if (tuple == NULL) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (name == NULL) {
            Py_DECREF(tuple);
            return -1;
        }
        PyTuple_SET_ITEM(tuple, i, name);
    }
    const int status = PyModule_AddObjectRef(module, "names", tuple);
    Py_DECREF(tuple);
    return status;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "OWN_NAME", "The names of the modules beside this one.", 0, NULL, slots};

PyMODINIT_FUNC PyInit_OWN_NAME(void) {
    return PyModuleDef_Init(&definition);
}
"""


def extensions():
    """A bundle of one module for each .pyx."""
    return [Bundle("tensorgrad._compiled", [module(path) for path in sorted(Path("tensorgrad").rglob("*.pyx"))])]


def bundled_blas():
    """Paths of scipy-openblas32's shared library and licences, and what its symbols are wrapped in."""
    from importlib.metadata import files

    paths = [Path(path.locate()) for path in files("scipy-openblas32") or []]
    libraries = [path for path in paths if path.suffix in (".so", ".dylib") and path.parent.name == "lib"]
    licences = [path for path in paths if "LICENSE" in path.name.upper()]
    if len(libraries) != 1 or not licences:
        raise RuntimeError("scipy-openblas32 has no shared library, or no licence, where it is looked for")
    return libraries + licences, (libraries[0].name, "scipy_", "")


def system_blas():
    """The name under which the dynamic linker finds a CBLAS with 32-bit integers."""
    import ctypes
    import ctypes.util

    for name in ("openblas", "cblas", "blas", "blis", "mkl_rt"):
        library = ctypes.util.find_library(name)
        if library and hasattr(ctypes.CDLL(library), "cblas_sgemm"):
            return [], (library, "", "")
    raise RuntimeError("TENSORGRAD_BLAS=system: no library with cblas_sgemm was found")


def install_blas(directory):
    """Fill tensorgrad/_blas.

    library.txt has three lines: the library, the prefix and the suffix of its symbols. The library
    lies beside library.txt, or else is a name for the dynamic linker. Without BLAS the line is empty.
    """
    sources = {"bundled": bundled_blas, "system": system_blas, "none": lambda: ([], ("", "", ""))}
    if BLAS not in sources:
        raise RuntimeError(f"TENSORGRAD_BLAS must be one of {', '.join(sources)}, not {BLAS!r}")
    paths, lines = sources[BLAS]()
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.name not in {source.name for source in paths}:
            path.unlink()
    for path in paths:
        target = directory / path.name
        if not target.exists() or not filecmp.cmp(path, target):
            shutil.copy2(path, target)
    (directory / "library.txt").write_text("".join(f"{line}\n" for line in lines))


class BuildExt(build_ext):
    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = cpu_count()

    def run(self):
        super().run()  # an in-place build, too, goes through build_lib
        if self.inplace:
            install_blas(Path("tensorgrad/_blas"))
        else:
            install_blas(Path(self.build_lib, "tensorgrad/_blas"))
            self.remove_stale_outputs()

    def build_extensions(self):
        # Here and not at import: a build of the sdist or of the metadata needs neither of the two.
        import Cython
        import numpy
        from Cython.Build import cythonize

        versions = Cython.__version__, numpy.__version__
        configuration = repr((COMPILE_ARGS, sorted(COLD), LINK_ARGS, MACROS, DIRECTIVES, *versions))
        stamp = Path(self.build_temp, "configuration.txt")
        if not stamp.exists() or stamp.read_text() != configuration:
            self.force = True
        (bundle,) = self.extensions
        generated = cythonize(
            bundle.parts,
            build_dir=str(Path(self.build_temp, "cython")),
            compiler_directives=DIRECTIVES,
            nthreads=self.parallel,
            force=self.force,
        )
        sources = {part.name: part.sources for part in generated}
        for part in bundle.parts:
            part.sources = sources[part.name]
            part.include_dirs.append(numpy.get_include())
        super().build_extensions()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(configuration)

    def build_extension(self, bundle):
        """Compile what is older than what it is made of, and link."""
        index = Path(self.build_temp, "cython", bundle.name.rpartition(".")[2] + ".c")
        bundle.write_index(index)
        # The longest first, so that no processor is left with one of them at the end.
        parts = sorted(bundle.parts, key=lambda part: os.path.getsize(part.sources[0]), reverse=True)
        parts.append(Extension(bundle.name, [str(index)], extra_compile_args=COMPILE_ARGS))
        with ThreadPoolExecutor(self.parallel) as pool:
            objects = list(pool.map(self.compile_part, parts))
        path = self.get_ext_fullpath(bundle.name)
        if self.force or newer_group(objects, path):
            self.compiler.link_shared_object(
                objects,
                path,
                libraries=self.get_libraries(bundle),
                extra_postargs=bundle.extra_link_args,
                debug=self.debug,
                build_temp=self.build_temp,
                target_lang="c",
            )

    def compile_part(self, part):
        """The object file of a module."""
        (path,) = self.compiler.object_filenames(part.sources, output_dir=self.build_temp)
        if self.force or newer_group([*part.sources, *part.depends], path):
            self.compiler.compile(
                part.sources,
                output_dir=self.build_temp,
                macros=part.define_macros,
                include_dirs=part.include_dirs,
                debug=self.debug,
                extra_postargs=part.extra_compile_args,
            )
        return path

    def get_outputs(self):
        outputs = super().get_outputs()
        if not self.inplace:
            outputs += map(str, Path(self.build_lib, "tensorgrad/_blas").glob("*"))
        return outputs

    def remove_stale_outputs(self):
        """Builds from a checkout share build_lib, and what lies there is installed, renamed files too."""
        modules = self.get_finalized_command("build_py").get_outputs(include_bytecode=False)
        known = {os.path.abspath(path) for path in modules + self.get_outputs()}
        for path in Path(self.build_lib).rglob("*"):
            if path.is_file() and os.path.abspath(path) not in known:
                path.unlink()


# setuptools' build backend runs this file as __main__, too; a worker process of cythonize does not.
if __name__ == "__main__":
    setup(
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildExt},
        options={"build": {"build_base": "build/debug"}} if DEBUG else {},
    )
