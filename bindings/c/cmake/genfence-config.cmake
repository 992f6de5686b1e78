# find_package(genfence): the target genfence::genfence, which is the shared library, or the static one
# where genfence_USE_STATIC says so (or where only that is installed). Also by name: genfence::shared,
# genfence::static.

# This file is in PREFIX/share/genfence/cmake.
get_filename_component(_genfence_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

find_path(genfence_INCLUDE_DIR genfence.h PATHS "${_genfence_prefix}" PATH_SUFFIXES include NO_DEFAULT_PATH)
set(_genfence_libs lib lib64)
if(CMAKE_LIBRARY_ARCHITECTURE)
  list(APPEND _genfence_libs "lib/${CMAKE_LIBRARY_ARCHITECTURE}")
endif()
foreach(_genfence_kind shared static)
  set(_genfence_suffixes ${CMAKE_FIND_LIBRARY_SUFFIXES})
  set(CMAKE_FIND_LIBRARY_SUFFIXES "${CMAKE_SHARED_LIBRARY_SUFFIX}")
  if(WIN32)
    set(CMAKE_FIND_LIBRARY_SUFFIXES ".dll.lib" ".dll.a")
  endif()
  if(_genfence_kind STREQUAL "static")
    set(CMAKE_FIND_LIBRARY_SUFFIXES "${CMAKE_STATIC_LIBRARY_SUFFIX}")
  endif()
  find_library(genfence_${_genfence_kind}_LIBRARY genfence PATHS "${_genfence_prefix}"
    PATH_SUFFIXES ${_genfence_libs} NO_DEFAULT_PATH)
  set(CMAKE_FIND_LIBRARY_SUFFIXES ${_genfence_suffixes})
  if(genfence_INCLUDE_DIR AND genfence_${_genfence_kind}_LIBRARY AND NOT TARGET genfence::${_genfence_kind})
    add_library(genfence::${_genfence_kind} UNKNOWN IMPORTED)
    set_target_properties(genfence::${_genfence_kind} PROPERTIES
      IMPORTED_LOCATION "${genfence_${_genfence_kind}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${genfence_INCLUDE_DIR}")
  endif()
endforeach()
if(TARGET genfence::static)
  # What Rust's standard library is linked against.
  include(CMakeFindDependencyMacro)
  find_dependency(Threads)
  set(_genfence_system Threads::Threads ${CMAKE_DL_LIBS})
  if(WIN32)
    list(APPEND _genfence_system bcrypt kernel32 ncrypt crypt32 secur32 ntdll userenv ws2_32)
    if(NOT MSVC)
      list(APPEND _genfence_system unwind) # of LLVM's MinGW, by which the packages are built
    endif()
  elseif(APPLE)
    list(APPEND _genfence_system "-framework Security" "-framework CoreFoundation" iconv)
  else()
    list(APPEND _genfence_system m)
  endif()
  set_target_properties(genfence::static PROPERTIES INTERFACE_LINK_LIBRARIES "${_genfence_system}")
endif()

if(NOT TARGET genfence::genfence)
  if(TARGET genfence::static AND (genfence_USE_STATIC OR NOT TARGET genfence::shared))
    set(_genfence_kind static)
  else()
    set(_genfence_kind shared)
  endif()
  if(TARGET genfence::${_genfence_kind})
    add_library(genfence::genfence INTERFACE IMPORTED)
    set_target_properties(genfence::genfence PROPERTIES
      INTERFACE_LINK_LIBRARIES genfence::${_genfence_kind})
  else()
    set(genfence_FOUND FALSE)
    set(genfence_NOT_FOUND_MESSAGE "genfence.h or its library is not under ${_genfence_prefix}: install it anew")
  endif()
endif()
