// What rans_interface.cpp needs of pybind11 to compile without Python: nothing of it is called.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pybind11 {

struct bytes : std::string {
  bytes(const std::string &value) : std::string(value) {}
};

struct anything {
  template <class T> void operator=(const T &) {}
};

struct module_ {
  anything attr(const char *) { return {}; }
  anything doc() { return {}; }
};

template <class...> struct init {};

template <class T> struct class_ {
  class_(module_ &, const char *) {}
  template <class... A> class_ &def(A &&...) { return *this; }
};

template <class... A> struct overload_cast {
  template <class F> explicit overload_cast(F) {}
};

} // namespace pybind11

#define PYBIND11_MODULE(name, variable)                                                            \
  [[maybe_unused]] static void bind_##name(pybind11::module_ &variable)
