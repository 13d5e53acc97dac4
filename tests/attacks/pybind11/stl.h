// Empty: see pybind11.h.
#pragma once
