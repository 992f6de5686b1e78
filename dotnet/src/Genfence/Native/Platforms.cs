using System.Runtime.InteropServices;

namespace Genfence.Native;

/// <summary>The platforms that the package brings a native library for: packaging/targets, which a test compares.</summary>
internal static class Platforms
{
    internal static readonly string[] All =
    [
        "linux-x64", "linux-arm64", "linux-musl-x64", "linux-musl-arm64", "win-x64", "win-arm64", "osx-x64", "osx-arm64",
    ];

    /// <summary>
    /// What is said where the library is missing: the platform, and what to write; or that it is not where
    /// GENFENCE_NATIVE_PATH says.
    /// </summary>
    internal static string Missing(string rid, Architecture process, string? named = null)
    {
        if (!string.IsNullOrEmpty(named))
        {
            return $"GENFENCE_NATIVE_PATH names {named}, which is no library that can be loaded on {rid}";
        }
        var near = Near(rid, process);
        return $"the native library of genfence was not found, or cannot be loaded, on {rid}: "
            + (near is null
                ? $"the package has none for it, but for {string.Join(", ", All)}; build one from the source "
                    + "(bindings/c/README.md), and name it in the environment variable GENFENCE_NATIVE_PATH"
                : $"write <RuntimeIdentifier>{near}</RuntimeIdentifier> in the project's file, or publish with "
                    + $"-r {near}, and deploy the folder whole; or name a library in the environment variable "
                    + "GENFENCE_NATIVE_PATH");
    }

    /// <summary>The platform of the package that is this one, or that a distribution's own name means.</summary>
    private static string? Near(string rid, Architecture process)
    {
        var family = rid switch
        {
            _ when rid.StartsWith("win", StringComparison.Ordinal) => "win",
            _ when rid.StartsWith("osx", StringComparison.Ordinal) => "osx",
            _ when rid.StartsWith("alpine", StringComparison.Ordinal)
                || rid.Contains("musl", StringComparison.Ordinal) => "linux-musl",
            _ when rid.StartsWith("freebsd", StringComparison.Ordinal)
                || rid.StartsWith("illumos", StringComparison.Ordinal) => "none",
            _ => "linux",
        };
        var near = family + (process == Architecture.Arm64 ? "-arm64" : process == Architecture.X64 ? "-x64" : "-none");
        return Array.IndexOf(All, near) < 0 ? null : near;
    }
}
