# The version is that of the installed header.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../../../include/genfence.h" _genfence_line
  REGEX "^#define GF_VERSION \"")
string(REGEX REPLACE ".*\"([0-9.]+).*" "\\1" PACKAGE_VERSION "${_genfence_line}")

# Before 1.0 a new minor version may break, after that a new major one.
string(REGEX MATCH "^(0\\.)?[0-9]+" _genfence_here "${PACKAGE_VERSION}")
string(REGEX MATCH "^(0\\.)?[0-9]+" _genfence_asked "${PACKAGE_FIND_VERSION}")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
elseif(PACKAGE_FIND_VERSION STREQUAL "" OR _genfence_here STREQUAL _genfence_asked OR
       PACKAGE_FIND_VERSION STREQUAL "0")
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
else()
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
endif()
