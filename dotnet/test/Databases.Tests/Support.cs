using System.Reflection;

namespace Genfence.Tests;

/// <summary>What the files need that are shared with the other tests.</summary>
internal static class Support
{
    public static readonly TimeSpan Patience = Databases.DatabaseTest.Patience;

    public static string Metadata(string key) =>
        typeof(Support).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(attribute => attribute.Key == key).Value!;
}
