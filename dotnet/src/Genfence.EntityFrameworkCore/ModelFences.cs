using System.Linq.Expressions;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Metadata;

namespace Genfence.EntityFrameworkCore;

/// <summary>The map on a model: which keys each type of it has. Made once for a model.</summary>
internal sealed class ModelFences
{
    private static readonly ConditionalWeakTable<IModel, Dictionary<object, ModelFences>> s_made = [];

    private readonly Dictionary<IEntityType, EntityFence> _types = [];

    // A word of a statement that is the name of a table.
    private readonly Regex? _tables;

    private ModelFences(IModel model, FenceMap map)
    {
        Map = map;
        foreach (var mapped in map.Keys)
        {
            if (!model.GetEntityTypes().Any(type => mapped.Entity.IsAssignableFrom(type.ClrType)))
            {
                throw new InvalidOperationException($"UseGenfence: {mapped.Entity.Name} is no entity of this context");
            }
        }
        var joins = model.GetEntityTypes().SelectMany(type => type.GetSkipNavigations()).ToLookup(navigation => navigation.JoinEntityType);
        var tables = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var type in model.GetEntityTypes())
        {
            var keys = map.Keys.Where(key => key.Entity.IsAssignableFrom(type.ClrType)).Select(key => new EntityKey(type, key)).ToArray();
            var ends = joins[type].Select(navigation => navigation.ForeignKey).Append(type.FindOwnership()).OfType<IForeignKey>()
                .Where(end => IsFenced(end.PrincipalEntityType, map)).Distinct().ToArray();
            if (keys.Length + ends.Length > 0)
            {
                _types.Add(type, new EntityFence(keys, ends, HasToken(type)));
                tables.UnionWith(type.GetTableMappings().Select(mapping => mapping.Table.Name));
            }
        }
        HasLateKeys = _types.Values.Any(type => type.Ends.Length > 0 || type.Keys.Any(key => key.MayBeLate));
        _tables = tables.Count == 0
            ? null
            : new Regex($@"(?<!\w)(?:{string.Join('|', tables.Select(Regex.Escape))})(?!\w)", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant);
    }

    public FenceMap Map { get; }

    /// <summary>Whether any key may be known only once a row was inserted.</summary>
    public bool HasLateKeys { get; }

    /// <summary>The same map on the same model is made once; a map is known by the method that makes it.</summary>
    public static ModelFences Of(IModel model, Action<FenceMap> map)
    {
        var made = s_made.GetOrCreateValue(model);
        lock (made)
        {
            if (!made.TryGetValue(map.Method, out var fences))
            {
                var filled = new FenceMap();
                map(filled);
                fences = new ModelFences(model, filled);
                made.Add(map.Method, fences);
            }
            return fences;
        }
    }

    public EntityFence? Of(EntityEntry entry) => _types.GetValueOrDefault(entry.Metadata);

    /// <summary>The mapped table that a statement names, if it does. What names one only to read it is taken for a change, too.</summary>
    public string? TableIn(string statement) => _tables?.Match(statement) is { Success: true, Value: var name } ? name : null;

    private static bool IsFenced(IEntityType type, FenceMap map) =>
        map.Keys.Exists(key => key.Entity.IsAssignableFrom(type.ClrType)) || (type.FindOwnership() is { } owned && IsFenced(owned.PrincipalEntityType, map));

    private static bool HasToken(IEntityType type) => type.GetProperties().Any(property => property.IsConcurrencyToken);
}

/// <summary>What a change of an entity of this type changes in the cache.</summary>
/// <param name="Keys">Its own keys.</param>
/// <param name="Ends">For whose keys it counts, too: its owner, or the ends that it joins.</param>
/// <param name="HasToken">Whether an update fails where the row was changed since it was read.</param>
internal sealed record EntityFence(EntityKey[] Keys, IForeignKey[] Ends, bool HasToken);

/// <summary>One key of a type of entity.</summary>
internal sealed class EntityKey
{
    // None where it is not known which it is made of: then of all.
    private readonly IProperty[]? _properties;

    public EntityKey(IEntityType type, MappedKey mapped)
    {
        Mapped = mapped;
        _properties = Used.By(mapped.Expression, type, "Key");
        if (mapped.Value is { } value)
        {
            _ = Used.By(value, type, "Value");
        }
        MayBeLate = (_properties ?? type.GetProperties()).Any(property => property.ValueGenerated != ValueGenerated.Never || property.IsForeignKey());
    }

    public MappedKey Mapped { get; }

    public bool MayBeLate { get; }

    /// <summary>Whether the database, and not this process, gives it: it is known once the row is written.</summary>
    public bool IsLate(EntityEntry entry) => MayBeLate && Properties(entry).Any(property => entry.State switch
    {
        EntityState.Added => entry.Property(property).IsTemporary || property.GetBeforeSaveBehavior() == PropertySaveBehavior.Ignore
            || (property.ValueGenerated.HasFlag(ValueGenerated.OnAdd) && Equals(entry.Property(property).CurrentValue, property.Sentinel)),
        // Also of a row that it was moved to, and that is inserted in the same save.
        EntityState.Modified => entry.Property(property).IsTemporary || property.ValueGenerated.HasFlag(ValueGenerated.OnUpdate),
        _ => false,
    });

    /// <summary>Whether the key may have been another one before the change. Of what it is made of may be part of a property, too.</summary>
    public bool MayHaveMoved(EntityEntry entry) => _properties is null || _properties.Any(
        property => !Equals(entry.Property(property).OriginalValue, entry.Property(property).CurrentValue));

    public string? Of(object entity)
    {
        try
        {
            return Mapped.Of(entity);
        }
        catch (NullReferenceException problem)
        {
            throw new InvalidOperationException(
                $"the key {Mapped.Expression} of {Mapped.Entity.Name} cannot be computed: it may be made of the entity's own properties only, which may be null", problem);
        }
    }

    private IEnumerable<IProperty> Properties(EntityEntry entry) => _properties ?? entry.Metadata.GetProperties();

    /// <summary>Which properties of its entity an expression is made of.</summary>
    private sealed class Used(ParameterExpression parameter, IEntityType type, string what) : ExpressionVisitor
    {
        private readonly HashSet<IProperty> _properties = [];
        private bool _all;

        public static IProperty[]? By(LambdaExpression expression, IEntityType type, string what)
        {
            var used = new Used(expression.Parameters[0], type, what);
            used.Visit(expression.Body);
            return used._all ? null : [.. used._properties];
        }

        protected override Expression VisitMember(MemberExpression node)
        {
            var of = node.Expression is UnaryExpression { NodeType: ExpressionType.Convert } converted ? converted.Operand : node.Expression;
            if (of != parameter)
            {
                return base.VisitMember(node);
            }
            var name = node.Member.Name;
            if (type.FindNavigation(name) is not null || type.FindSkipNavigation(name) is not null)
            {
                throw new InvalidOperationException(
                    $"{what} of {type.DisplayName()}: {name} leads to other rows; it may be made of the entity's own properties only, such as a foreign key");
            }
            if (type.FindProperty(name) is { } property)
            {
                _properties.Add(property);
            }
            else
            {
                _all = true;
            }
            return node;
        }

        protected override Expression VisitParameter(ParameterExpression node)
        {
            _all |= node == parameter;
            return node;
        }
    }
}
