"""Lathe for Conan 2, from this tree: conan create .packaging --build=missing

The package is what `cmake --install` installs, its CMake files included: find_package(lathe COMPONENTS eigen io) works as
without Conan. Not in ConanCenter; made here with every option off, whose dependencies no test can fetch."""
import pathlib
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load

# What each optional layer of CMakeLists.txt needs.
LAYERS = {
    "eigen": ["eigen/[>=3.4 <4]"],
    "xtensor": ["xtensor/[>=0.24 <0.25]"],
    "opencl": ["clblast/[>=1.5 <2]", "opencl-icd-loader/[>=2020]", "opencl-headers/[>=2020]"],
    "io": ["nlohmann_json/[>=3.2 <4]", "range-v3/[>=0.11 <1]"],
    "dot": ["boost/[>=1.74 <2]", "nlohmann_json/[>=3.2 <4]"],
    "sentences": ["icu/[>=70]"],
    "reflect": ["boost/[>=1.74 <2]", "nlohmann_json/[>=3.2 <4]"],
}


class LatheConan(ConanFile):
    name = "lathe"
    description = "Numerical methods for language models after training, written once against a backend"
    license = "Apache-2.0"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {layer: [True, False] for layer in LAYERS}
    default_options = {layer: layer in ("eigen", "io") for layer in LAYERS}
    no_copy_source = True

    def set_version(self):
        text = load(self, pathlib.Path(self.recipe_folder).parent / "include/lathe/config.hpp")
        found = dict(re.findall(r"#define LATHE_VERSION_(MAJOR|MINOR|PATCH) (\d+)", text))
        self.version = ".".join(found[part] for part in ("MAJOR", "MINOR", "PATCH"))

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", ".packaging/single_header.py", "include/*", "backends/*", "tests/cmake/*"):
            copy(self, pattern, pathlib.Path(self.recipe_folder).parent, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        wanted = {package for layer, packages in LAYERS.items() if self.options.get_safe(layer) for package in packages}
        for package in sorted(wanted):
            self.requires(package, transitive_headers=True)

    def package_id(self):
        self.info.settings.clear()  # the options stay: they say what is installed

    def validate(self):
        check_min_cppstd(self, 20)

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ("TESTS", "EXAMPLES", "BENCH"):
            toolchain.cache_variables[f"LATHE_BUILD_{part}"] = False
        for layer in LAYERS:
            toolchain.cache_variables[f"LATHE_{layer.upper()}"] = bool(self.options.get_safe(layer))
        backends = [b for b in ("eigen", "xtensor", "opencl") if self.options.get_safe(b)]
        if backends:
            toolchain.cache_variables["LATHE_DEFAULT_BACKEND"] = backends[0]
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, pathlib.Path(self.package_folder) / "licenses")

    def package_info(self):
        self.cpp_info.set_property("cmake_find_mode", "none")  # lathe's own files know its components
        self.cpp_info.builddirs = ["share/cmake/lathe"]
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
